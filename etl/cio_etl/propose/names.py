"""What a column's name indicates about its content."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")

# Patterns over the words of a name, in lower case and joined: `_first_name_`.
_PERSONAL = {
    "a name": r"_(?:first|last|full|middle|family|given|sur|user|nick|maiden|display|legal|customer|client|contact"
    r"|member|person)_?name_|^_name_$|_(?:vorname|nachname|prenom|surname|nombre|apellidos?)_",
    "an e-mail address": r"_e_?mails?_|_mail_",
    "a phone number": r"_(?:tele)?phones?_|_(?:mobile|cell|tel|telefon|fax|msisdn|whatsapp)_",
    "a birth date": r"_birth|_(?:dob|born|naissance|geburts\w*|age)_",
    "an IP address": r"_ip(?:v?[46])?_",
    "an address": r"_(?:address|adresse|addr|street|strasse|zip|postal|post_?code|zip_?code|plz|house_no)\w*_",
    "a place": r"_(?:lat|latitude|lon|lng|longitude|geo\w*)_",
    "a trait of a person": r"_(?:gender|sex|nationality|religion|ethnicity|marital|salary|income|diagnosis|health)_",
    "a device": r"_(?:device|advertising|cookie|idfa|gaid|imei|mac)_(?:id_|address_)?",
}
_SENSITIVE = {
    "a password": r"_(?:pass_?word|passwd|pwd|pass_?phrase|passcode|pin)_",
    "a token or key": r"_(?:tokens?|secret|salt|otp|credentials?|session_?(?:token|key|cookie)|api_?key"
    r"|private_?key|access_?key|auth_?key)_",
    "a card number": r"_(?:credit|debit|bank|payment)_?card_(?!type|brand)|_card_?(?:number|no|num|nr|pan)_|_cv[vc]2?_",
    "a bank account": r"_iban_|_bank_?(?:account|number|nr)_|_(?:routing|sort_?code)_",
    "an official number": r"_(?:ssn|social_?security\w*|national_?(?:id|insurance)\w*|tax_?id|tin|nino|passport\w*)_"
    r"|_(?:driv(?:er|ing)s?_?licen[cs]e)\w*_",
}
_TIME = (
    r"_(?:at|date\w*|day|time|timestamp|ts|when|since|created|updated|modified|joined|registered|placed|ordered"
    r"|shipped|paid|expires?|expiry|due|born|dob|seen|epoch|datum|signup|login)_|_(?:birth|signed_up|(?:first|last)_(?!name))|_on_$"
)
_SIGNUP = (
    r"^_created_at_$",
    r"_sign(?:ed)?_?up|_(?:joined|registered|registration)_|_member_since_|_customer_since_",
    r"^_(?:created|date_created|creation_date|created_on|created_date|creation_time)_$",
)
_PERSON = (
    r"(?:customer|user|person|people|member|contact|client|subscriber|buyer|visitor|profile|patient|student|guest"
    r"|shopper|lead|account|kunden?|employee)"
)
_KEY = r"(?:id|ids|uid|uuid|guid|no|nr|num|number|key|ref|reference|code|nummer)"
_LABEL = r"_(?:id|uid|uuid|guid|no|nr|key|ref|reference|code|sku|ean|gtin|isbn|zip|plz|postal|post_?code|version)_"
_YES_NO = (
    r"^_(?:is|has|was|can|did|wants)_|_(?:active|enabled|disabled|flag|subscribed|unsubscribed|verified|deleted"
    r"|opt_?in|opt_?out|optin|optout|consent|confirmed|blocked|test)_"
)


def words(name: str) -> str:
    """The name's words in lower case, joined: `_first_name_` for `firstName`, `First name` and `first-name`."""
    plain = unicodedata.normalize("NFKD", name[:300])
    plain = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return "_" + "_".join(word.lower() for word in _WORD.findall(plain)) + "_"


def personal(name: str) -> str:
    """The personal data that the name indicates, "a name" or "a phone number"; "" if none."""
    return next((what for what, pattern in _PERSONAL.items() if re.search(pattern, words(name))), "")


def sensitive(name: str) -> str:
    """The sensitive data that the name indicates and that should not be sent to Customer.io; "" if none."""
    return next((what for what, pattern in _SENSITIVE.items() if re.search(pattern, words(name))), "")


def says_time(name: str) -> bool:
    """Whether the name indicates times or dates."""
    return re.search(_TIME, words(name)) is not None


def says_yes_or_no(name: str) -> bool:
    """Whether the name indicates yes or no."""
    return re.search(_YES_NO, words(name)) is not None


def says_label(name: str) -> bool:
    """Whether digits under this name are a label, such as a key or a post code, and not a quantity."""
    return re.search(_LABEL, words(name)) is not None


def says_cents(name: str) -> bool:
    """Whether the name indicates that a number counts hundredths."""
    return re.search(r"_(?:cents?|pence|minor)_", words(name)) is not None


def signup_rank(name: str) -> int | None:
    """How clearly the name indicates the sign-up time: 0 is best, None not at all."""
    return next((rank for rank, pattern in enumerate(_SIGNUP) if re.search(pattern, words(name))), None)


def person_rank(name: str) -> int | None:
    """How clearly the name indicates the person of a row: 0 for customer_id, 1 for customer; None not at all."""
    said = words(name)
    if name == "cio_id" or re.fullmatch(rf"_(?:\w+_)?{_PERSON}_?{_KEY}_", said):
        return 0
    return 1 if re.fullmatch(rf"_{_PERSON}_", said) else None


def key_rank(name: str) -> int | None:
    """How clearly the name indicates a unique key: 0 for customer_id, 1 for id, 2 for order_id; None not at all."""
    said = words(name)
    if person_rank(name) == 0:
        return 0
    if re.fullmatch(r"_(?:id|uid|uuid|guid)_", said):
        return 1
    return 2 if re.search(rf"_{_KEY}_$", said) or said.endswith("id_") else None
