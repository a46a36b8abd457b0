"""What a column's name indicates about its content."""

from __future__ import annotations

import re

from cio_etl.model.name_words import name_words as words

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
    r"_(?:at|date\w*|day|time|timestamp|ts|when|since|seit|depuis|created|updated|modified|joined|registered|placed|ordered"
    r"|shipped|paid|expires?|expiry|due|born|dob|seen|epoch|datum|signup|login)_|_(?:birth|signed_up|(?:first|last)_(?!name))|_on_$"
)
_SIGNUP = (
    r"^_created_at_$",
    r"_sign(?:ed)?_?up|_(?:joined|registered|registration)_|_(?:member|customer|client|user|subscriber|kunden?|mitglied)_(?:since|seit)_|_(?:client|membre)_depuis_|_confirm_time_",
    r"^_(?:profile_)?(?:created|date_created|creation_date|created_on|created_date|create_date|creation_time)_(?:utc_)?$",
    r"_opt_?in_time_",
)
# When an event took place, and times that follow it or belong to something else.
_HAPPENED = r"^_(?:event_|local_|order_)?(?:time|timestamp|date_?time)_$|_(?:occurred|happened)_"
_LATE = (
    r"_(?:updated?|modified|modstamp|expir\w*|due|deleted|loaded|synced|end|ended|received|sent|upload|uploaded|uuid"
    r"|processed|processing|required|shipped|delivered|fulfilled|refunded|cancell?ed|previous|first_touch|creation_time"
    r"|paid|client|last)_"
)
_ACTION = r"_(?:placed|ordered|order_date|purchased?|paid|invoice_date|clicked|opened|visited|viewed|charged|booked)_"
_EVENT_NAME = r"^_(?:event|event_?name|event_?type|event_?text|activity|activity_?(?:name|type)|action)_$"
_THING = (
    r"(?:order|invoice|event|insert|message|transaction|payment|charge|purchase|session|visit|ticket|booking|sale"
    r"|shipment|click|log|refund|receipt)"
)
_PERSON = (
    r"(?:customer|user|person|people|member|contact|client|subscriber|buyer|visitor|profile|patient|student|guest"
    r"|shopper|kunden?|employee)"
)
_ACCOUNT = r"(?:account|lead)"
_VISITOR = r"^_(?:anonymous|visitor|user_pseudo|device|cookie|anon)_?(?:id|uuid)_$"
_KEY = r"(?:id|ids|uid|uuid|guid|no|nr|num|number|key|ref|reference|code|nummer)"
_OF_PEOPLE = (
    r"_(?:opt_?in|opt_?out|opted|consent|unsubscribed|subscribed|subscription|newsletter|lifecycle|signed_up|signup"
    r"|member_since|first_seen|last_seen|first_active|last_active|last_login|first_session|last_session|accepts)_"
    r"|_(?:total|number_of|count)_(?:orders|spent|spend|purchases|sessions)_|_(?:orders|payment|session)_count_"
)
_PEOPLE_SOURCE = (
    r"_(?:customers?|users?|people|persons?|members?|contacts?|clients?|subscribers?|profiles?|audience|identifies"
    r"|leads?|employees?|kunden)_"
)
_EVENT_SOURCE = (
    r"_(?:events?|tracks?|orders?|invoices?|transactions?|payments?|charges?|purchases?|sales|clicks?|opens?|visits?"
    r"|sessions?|logs?|bookings?|activity|activities)_"
)
_OF_A_PURCHASE = (
    r"_(?:subtotal|line_?items?|quantity|qty|sku|currency|amount|unit_?price|freight|discount_code)_"
    r"|_(?:financial|fulfillment|payment|order)_status_"
)
# The order's or the parcel's, and of no person of the row.
_OF_A_DELIVERY = r"^_(?:ship|shipping|bill|billing|recipient|delivery)_"
_COUNTRY = r"^_(?:\w+_)?country_(?:code_|iso_)?(?:code_)?$|^_(?:cc|country)_$"
_LABEL = r"_(?:id|uid|uuid|guid|no|nr|key|ref|reference|code|sku|ean|gtin|isbn|zip|plz|postal|post_?code|version)_"
_YES_NO = (
    r"^_(?:is|has|was|can|did|wants)_|_(?:active|enabled|disabled|flag|subscribed|unsubscribed|verified|deleted"
    r"|opt_?in|opt_?out|optin|optout|consent|confirmed|blocked|test)_"
)


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
    """How clearly the name indicates a row's person: 0 for customer_id, 1 for customer, 2 for account_id; else None."""
    in_words = words(name)
    if says_visitor(name):
        return None
    if name == "cio_id" or re.fullmatch(rf"_(?:\w+_)?{_PERSON}_?{_KEY}_|_(?:distinct|external)_id_", in_words):
        return 0
    if re.fullmatch(rf"_{_PERSON}_", in_words):
        return 1
    return 2 if re.fullmatch(rf"_{_ACCOUNT}_?{_KEY}_", in_words) else None


def key_rank(name: str) -> int | None:
    """How clearly the name indicates a unique key: 0 for customer_id, 1 for id, 2 for order_id; None not at all."""
    in_words = words(name)
    if person_rank(name) == 0:
        return 0
    if re.fullmatch(r"_(?:id|uid|uuid|guid)_", in_words):
        return 1
    return 2 if re.search(rf"_{_KEY}_$", in_words) or in_words.endswith("id_") else None


def says_visitor(name: str) -> bool:
    """Whether the name indicates a visitor who is not known yet, such as anonymous_id."""
    return re.search(_VISITOR, words(name)) is not None


def says_event(name: str) -> bool:
    """Whether the name indicates the name of an event."""
    return re.search(_EVENT_NAME, words(name)) is not None


def says_key_of_a_thing(name: str) -> bool:
    """Whether the name indicates the key of something that happens, such as order_id."""
    return re.search(rf"^_(?:\w+_)?{_THING}_?{_KEY}_$", words(name)) is not None


def says_action(name: str) -> bool:
    """Whether the name indicates the time of something that a person did."""
    return time_rank(name) == 0 or re.search(_ACTION, words(name)) is not None


def time_rank(name: str) -> int:
    """How clearly the name indicates when an event took place: 0 for timestamp, 1 for created_at, 2 for updated_at."""
    in_words = words(name)
    return 0 if re.search(_HAPPENED, in_words) else 2 if re.search(_LATE, in_words) else 1


def says_person_state(name: str) -> bool:
    """Whether the name indicates a state of a person that an event does not have, such as unsubscribed."""
    return re.search(_OF_PEOPLE, words(name)) is not None


def says_delivery(name: str) -> bool:
    """Whether the name belongs to a bill or a parcel, as in "Shipping Name"."""
    return re.search(_OF_A_DELIVERY, words(name)) is not None


def says_purchase(name: str) -> bool:
    """Whether the name indicates a part of a purchase, such as a quantity."""
    return re.search(_OF_A_PURCHASE, words(name)) is not None


def says_country(name: str) -> bool:
    """Whether the name indicates a country."""
    return re.search(_COUNTRY, words(name)) is not None


def is_table_of_identify_calls(name: str) -> bool:
    """Whether a table has the name that warehouses give to the calls that change people."""
    return words(name) == "_identifies_"


def source_of_people(name: str) -> bool:
    """Whether a file or table of this name indicates people."""
    return re.search(_PEOPLE_SOURCE, words(name)) is not None and not source_of_events(name)


def source_of_events(name: str) -> bool:
    """Whether a file or table of this name indicates events."""
    return re.search(_EVENT_SOURCE, words(name)) is not None
