"use strict";
// Replaces what the page shows when the state has changed. Without this script the page is read as it was loaded.
(() => {
  const place = document.querySelector("[data-live]");
  const note = document.getElementById("live");
  if (!place || !note) return;
  let source = null;
  let waiting = false;

  // What finds the element with the focus again after the change.
  const path = element => {
    if (!element || !place.contains(element)) return null;
    if (element.id) return `#${CSS.escape(element.id)}`;
    const href = element.getAttribute("href");
    return href ? `${element.tagName.toLowerCase()}[href="${CSS.escape(href)}"]` : null;
  };

  const refresh = async () => {
    waiting = !getSelection().isCollapsed; // somebody is copying a command
    if (waiting) return;
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
    const focused = path(document.activeElement);
    const opened = [...place.querySelectorAll("details")].map(each => each.open);
    place.replaceChildren(...fresh.childNodes);
    place.dataset.live = fresh.dataset.live;
    place.querySelectorAll("details").forEach((each, number) => { each.open = opened[number] ?? each.open; });
    if (focused) place.querySelector(focused)?.focus({ preventScroll: true });
  };

  const failed = () => { note.textContent = "not up to date; reload it"; };

  // A browser has few connections to one server: pages that nobody sees need none.
  const follow = () => {
    source?.close();
    if (document.hidden) return;
    source = new EventSource(`${place.dataset.stream}?known=${encodeURIComponent(place.dataset.live)}`);
    source.addEventListener("open", () => { note.textContent = "updates by itself"; });
    source.addEventListener("changed", () => { refresh().catch(failed); });
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) failed();
      else note.textContent = "no connection; it tries again";
    });
  };

  document.addEventListener("selectionchange", () => { if (waiting) refresh().catch(failed); });
  document.addEventListener("visibilitychange", follow);
  follow();
})();
