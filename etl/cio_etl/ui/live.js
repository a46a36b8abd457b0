"use strict";
// Replaces what the page shows when the state has changed. Without this script the page is read as it was loaded.
(() => {
  const place = document.querySelector("[data-live]");
  const note = document.getElementById("live");
  if (!place || !note) return;
  const texts = { open: "updates by itself", lost: "no connection; it tries again", over: "reload it to see changes" };
  let waiting = false;

  // The element with the focus, found again after the change by what it is and its place among its like.
  const path = element => {
    if (!element || !place.contains(element)) return null;
    if (element.id) return `#${CSS.escape(element.id)}`;
    const name = element.tagName.toLowerCase();
    const href = element.getAttribute("href");
    return href ? `${name}[href="${CSS.escape(href)}"]` : null;
  };

  const refresh = async () => {
    if (!getSelection().isCollapsed) { waiting = true; return; } // somebody is copying a command
    waiting = false;
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
    if (!fresh) return;
    const focused = path(document.activeElement);
    const opened = [...place.querySelectorAll("details")].map(each => each.open);
    place.replaceChildren(...fresh.childNodes);
    place.querySelectorAll("details").forEach((each, number) => { each.open = opened[number] ?? each.open; });
    if (focused) place.querySelector(focused)?.focus({ preventScroll: true });
  };

  document.addEventListener("selectionchange", () => { if (waiting && getSelection().isCollapsed) refresh(); });
  const source = new EventSource(`/live?known=${encodeURIComponent(place.dataset.live)}`);
  source.addEventListener("open", () => { note.textContent = texts.open; });
  source.addEventListener("changed", () => { refresh().catch(() => {}); });
  source.addEventListener("error", () => {
    note.textContent = source.readyState === EventSource.CLOSED ? texts.over : texts.lost;
  });
})();
