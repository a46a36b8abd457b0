"""Small generated exports with the columns of well-known products, and what `init` must propose for each.

`headers` says where the names of the columns come from: "looked up" in the product's documents or in public files with
its header, or "from memory". All values are generated.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

Rows = list[dict[str, Any]]

PEOPLE, EVENTS = 60, 150


@dataclass(frozen=True, slots=True)
class Shape:
    """An export: its rows, and the proposal. `accepted` is how many rows a run must accept; None: all."""

    headers: str
    rows: Callable[[], Rows]
    identifier: tuple[str, str]  # kind, and the column or its path
    timestamp: str | None = None  # None: the rows are people
    event: str = ""  # the column of the event's name; "": a constant
    event_key: Sequence[str] = ()
    created_at: str | None = None
    email: str | None = None
    kind: str = "csv"
    accepted: int | None = None
    when: str | None = None

    @property
    def operation(self) -> str:
        return "identify" if self.timestamp is None else "track"


def day(n: int, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A moment that is different for each n: some hours after the last one."""
    return moment(n).strftime(form)


def moment(n: int) -> datetime:
    return datetime(2024, 1, 3, 8, 15, 5, tzinfo=UTC) + timedelta(hours=7 * n, minutes=n, microseconds=731 * n)


def mail(n: int) -> str:
    return f"person{n}@example.com"


FIRST, LAST = ("Ada", "Ben", "Cleo", "Dora", "Eli", "Finn", "Gus"), ("Lind", "Moss", "Nash", "Ott", "Pell")


def first(n: int) -> str:
    return FIRST[n % len(FIRST)]


def last(n: int) -> str:
    return LAST[n % len(LAST)]


def phone(n: int) -> str:
    return f"+3361234{n:04}"


def code(n: int, prefix: str = "", length: int = 12) -> str:
    """A key as products make them: letters and digits, different for each n."""
    digits, number = "", n * 7_919 + 104_729 + 13**9
    while len(digits) < length:
        number = (number * 48_271 + n) % (2**31 - 1)
        digits += "abcdefghjkmnpqrstuvwxyz23456789"[number % 31]
    return f"{prefix}{digits}{n}"


def people(row: Callable[[int], dict[str, Any]], count: int = PEOPLE) -> Callable[[], Rows]:
    return lambda: [row(n) for n in range(count)]


def events(row: Callable[[int, int], dict[str, Any]], count: int = EVENTS) -> Callable[[], Rows]:
    """Rows of events: `row(n, person)`, of fewer people than events."""
    return lambda: [row(n, (n * n + n) % 40) for n in range(count)]


SHAPES: dict[str, Shape] = {
    "mailchimp audience": Shape(
        headers="looked up: headers in public code that reads the export",
        rows=people(
            lambda n: {
                "Email Address": mail(n),
                "First Name": first(n),
                "Last Name": last(n),
                "Phone Number": phone(n) if n % 3 else "",
                "Birthday": day(n, "%m/%d"),
                "MEMBER_RATING": str(2 + n % 4),
                "OPTIN_TIME": day(n) if n % 2 else "",
                "OPTIN_IP": f"203.0.113.{n}",
                "CONFIRM_TIME": day(n),
                "CONFIRM_IP": f"203.0.113.{n}",
                "LATITUDE": f"{48 + n / 100:.6f}",
                "LONGITUDE": f"{2 + n / 100:.6f}",
                "GMTOFF": "1",
                "DSTOFF": "2",
                "TIMEZONE": "Europe/Paris",
                "CC": "FR",
                "REGION": "IDF",
                "LAST_CHANGED": day(n + 5),
                "LEID": str(44_870_000 + n),
                "EUID": code(n, length=8),
                "NOTES": "",
                "TAGS": '"vip","blog"' if n % 2 else "",
            }
        ),
        identifier=("email", "Email Address"),
        created_at="CONFIRM_TIME",
    ),
    "klaviyo profiles": Shape(
        headers="from memory; the names of properties looked up in Klaviyo's help",
        rows=people(
            lambda n: {
                "Email": mail(n),
                "Klaviyo ID": code(n, "01H", 20).upper(),
                "First Name": first(n),
                "Last Name": last(n),
                "Organization": "",
                "Title": "",
                "Phone Number": phone(n),
                "Address": f"{n} Rue Verte",
                "City": "Lyon",
                "Zip Code": f"{69000 + n}",
                "Country": "France",
                "Source": "-1",
                "Email Marketing Consent": "SUBSCRIBED" if n % 2 else "NEVER_SUBSCRIBED",
                "Email Marketing Consent Timestamp": day(n) if n % 2 else "",
                "First Active": day(n),
                "Last Active": day(n + 9),
                "Profile Created On": day(n),
                "Date Added": day(n + 1),
                "Last Open": day(n + 8) if n % 5 else "",
            }
        ),
        identifier=("email", "Email"),
        created_at="Profile Created On",
    ),
    "hubspot contacts": Shape(
        headers="looked up: headers in public code that reads the export",
        rows=people(
            lambda n: {
                "Record ID": str(39_779_198_735 + 37 * n),
                "First Name": first(n),
                "Last Name": last(n),
                "Email": mail(n),
                "Phone Number": phone(n) if n % 2 else "",
                "Contact owner": "Ida Roe",
                "Lead Status": "NEW" if n % 3 else "OPEN_DEAL",
                "Lifecycle Stage": "Customer" if n % 4 else "Lead",
                "Create Date": day(n, "%Y-%m-%d %H:%M"),
                "Last Activity Date": day(n + 30, "%Y-%m-%d %H:%M") if n % 4 else "",
                "Associated Company": "Acme",
                "Original Source": "ORGANIC_SEARCH",
            }
        ),
        identifier=("email", "Email"),
        created_at="Create Date",
    ),
    "braze users": Shape(
        headers="looked up: Braze's page on exporting a segment to CSV",
        rows=people(
            lambda n: {
                "Braze ID": code(n, length=24),
                "country": "FR",
                "created_at": day(n, "%Y-%m-%d %H:%M:%S UTC"),
                "devices": "[]",
                "date_of_birth": f"{1960 + n % 40}-04-0{1 + n % 9}" if n % 3 else "",
                "email": mail(n),
                "unsubscribed_from_emails_at": "",
                "user_id": f"u-{n:05}",
                "first_name": first(n),
                "first_session": day(n, "%Y-%m-%d %H:%M:%S UTC"),
                "gender": "F" if n % 2 else "M",
                "city": "Nice",
                "language": "fr",
                "last_name": last(n),
                "last_session": day(n + 4, "%Y-%m-%d %H:%M:%S UTC"),
                "number_of_push_tokens": str(n % 2),
                "phone": phone(n),
                "session_count": str(n),
                "timezone": "Europe/Paris",
                "in_app_purchase_total": f"{n / 4:.2f}",
            }
        ),
        identifier=("id", "user_id"),
        created_at="created_at",
        email="email",
    ),
    "segment events": Shape(
        headers="from memory: the fields of a call in Segment's specification",
        kind="ndjson",
        rows=events(
            lambda n, who: {
                "type": "track",
                "messageId": code(n, "ajs-next-"),
                "event": ("Order Completed", "Product Viewed", "Cart Viewed")[n % 3],
                "userId": f"user{who}",
                "anonymousId": code(who, "anon"),
                "timestamp": moment(n).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "receivedAt": moment(n + 1).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "sentAt": moment(n + 1).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "properties": {"total": n / 4, "currency": "EUR"} if n % 3 == 0 else {"sku": f"S{n}"},
                "context": {"ip": f"203.0.113.{n}", "library": {"name": "analytics.js"}},
            }
        ),
        identifier=("id", "userId"),
        timestamp="timestamp",
        event="event",
        event_key=("messageId",),
    ),
    "segment events of visitors too": Shape(
        headers="from memory: the fields of a call in Segment's specification",
        kind="ndjson",
        rows=events(
            lambda n, who: {
                "messageId": code(n, "ajs-next-"),
                "event": ("Signed Up", "Page Scrolled")[n % 2],
                "userId": None if n % 5 == 0 else f"user{who}",
                "anonymousId": code(who, "anon"),
                "timestamp": moment(n).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            }
        ),
        identifier=("id", "userId"),
        timestamp="timestamp",
        event="event",
        event_key=("messageId",),
        accepted=120,
        when='"userId" IS NOT NULL',
    ),
    "segment warehouse tracks": Shape(
        headers="looked up: warehouse schemas of Segment and RudderStack",
        kind="table tracks",
        rows=events(
            lambda n, who: {
                "id": code(n, "ajs-"),
                "received_at": day(n + 1),
                "uuid_ts": day(n + 2),
                "anonymous_id": code(who, "anon"),
                "context_ip": f"203.0.113.{n}",
                "context_library_name": "analytics.js",
                "event": ("order_completed", "product_viewed")[n % 2],
                "event_text": ("Order Completed", "Product Viewed")[n % 2],
                "original_timestamp": day(n),
                "sent_at": day(n + 1),
                "timestamp": day(n),
                "user_id": f"user{who}",
            }
        ),
        identifier=("id", "user_id"),
        timestamp="timestamp",
        event="event",
        event_key=("id",),
    ),
    "segment warehouse identifies": Shape(
        headers="looked up: warehouse schemas of Segment and RudderStack",
        kind="table identifies",
        rows=events(
            lambda n, who: {
                "id": code(n, "ajs-"),
                "received_at": day(n + 1),
                "uuid_ts": day(n + 2),
                "anonymous_id": code(who, "anon"),
                "context_ip": f"203.0.113.{n}",
                "email": mail(who),
                "first_name": first(who),
                "last_name": last(who),
                "plan": "pro",
                "original_timestamp": day(n),
                "sent_at": day(n + 1),
                "timestamp": day(n),
                "user_id": f"user{who}",
            }
        ),
        identifier=("id", "user_id"),
        email="email",
    ),
    "mixpanel raw export": Shape(
        headers="looked up: Mixpanel's page on importing and exporting events",
        kind="ndjson",
        rows=events(
            lambda n, who: {
                "event": ("Signup", "Played Song", "Purchase")[n % 3],
                "properties": {
                    "time": 1_704_268_800 + 3_600 * n,
                    "distinct_id": code(who),
                    "$insert_id": code(n, "ins"),
                    "$city": "Paris",
                    "mp_country_code": "FR",
                    "Amount": n / 2,
                },
            }
        ),
        identifier=("id", "properties.distinct_id"),
        timestamp="properties.time",
        event="event",
    ),
    "mixpanel flat csv": Shape(
        headers="from memory: a report of Mixpanel downloaded as CSV",
        rows=events(
            lambda n, who: {
                "event": ("Signup", "Played Song", "Purchase")[n % 3],
                "time": str(1_704_268_800 + 3_600 * n),
                "distinct_id": code(who),
                "$insert_id": code(n, "ins"),
                "$browser": "Firefox",
                "mp_country_code": "FR",
            }
        ),
        identifier=("id", "distinct_id"),
        timestamp="time",
        event="event",
        event_key=("$insert_id",),
    ),
    "intercom users": Shape(
        headers="from memory; the names of attributes looked up in a page about Intercom",
        rows=people(
            lambda n: {
                "ID": code(n, length=22),
                "Name": f"{first(n)} {last(n)}",
                "Email": mail(n),
                "Phone": "",
                "User ID": str(5_000 + n),
                "Type": "User",
                "Owner": "Ida Roe",
                "First seen": day(n),
                "Signed up": day(n),
                "Last seen": day(n + 20),
                "Web sessions": str(n % 9),
                "City": "Nice",
                "Country": "France",
                "Unsubscribed from Emails": "false" if n % 9 else "true",
            }
        ),
        identifier=("id", "User ID"),
        created_at="Signed up",
        email="Email",
    ),
    "shopify customers": Shape(
        headers="looked up: headers in public code that reads the export",
        rows=people(
            lambda n: {
                "Customer ID": f"'{6_238_111_000_000 + n}",
                "First Name": first(n),
                "Last Name": last(n),
                "Email": mail(n),
                "Accepts Email Marketing": "yes" if n % 2 else "no",
                "Default Address Company": "",
                "Default Address Address1": f"{n} Rue Verte",
                "Default Address City": "Lyon",
                "Default Address Country Code": "FR",
                "Default Address Zip": f"'{69000 + n}",
                "Default Address Phone": f"'+3361234{n:04}",
                "Phone": f"'+3361234{n:04}",
                "Accepts SMS Marketing": "no",
                "Total Spent": f"{n * 3 / 4:.2f}",
                "Total Orders": str(n % 7),
                "Note": "",
                "Tax Exempt": "no",
                "Tags": "vip, blog",
            }
        ),
        identifier=("id", "Customer ID"),
        email="Email",
    ),
    "shopify orders": Shape(
        headers="looked up: headers in public code that reads the export",
        rows=events(
            lambda n, who: {
                "Name": f"#{1_001 + n}",
                "Email": mail(who),
                "Financial Status": "paid",
                "Paid at": day(n, "%Y-%m-%d %H:%M:%S +0200"),
                "Fulfillment Status": "fulfilled" if n % 3 else "unfulfilled",
                "Fulfilled at": day(n + 2, "%Y-%m-%d %H:%M:%S +0200") if n % 3 else "",
                "Accepts Marketing": "yes",
                "Currency": "EUR",
                "Subtotal": f"{n * 2:.2f}",
                "Total": f"{n * 2 + 5:.2f}",
                "Discount Code": "",
                "Created at": day(n, "%Y-%m-%d %H:%M:%S +0200"),
                "Lineitem quantity": "1",
                "Lineitem name": "Lamp",
                "Billing Name": f"{first(who)} {last(who)}",
                "Billing Street": f"{who} Rue Verte",
                "Billing Zip": f"'{69000 + who}",
                "Billing Phone": "",
                "Shipping Name": f"{first(who)} {last(who)}",
                "Shipping Country": "FR",
                "Id": str(7_410_991_464_714 + n),
                "Tags": "",
            }
        ),
        identifier=("email", "Email"),
        timestamp="Created at",
        event_key=("Id",),
    ),
    "stripe customers": Shape(
        headers="looked up: headers in public code that reads the export",
        rows=people(
            lambda n: {
                "id": code(n, "cus_"),
                "Description": "",
                "Email": mail(n),
                "Name": f"{first(n)} {last(n)}",
                "Created (UTC)": day(n, "%Y-%m-%d %H:%M"),
                "Delinquent": "false",
                "Plan": "pro",
                "Status": "active" if n % 3 else "",
                "Total Spend": f"{n * 9:.2f}",
                "Payment Count": str(n % 5),
                "Refunded Volume": "0.00",
                "Dispute Losses": "0.00",
            }
        ),
        identifier=("id", "id"),
        created_at="Created (UTC)",
        email="Email",
    ),
    "stripe charges": Shape(
        headers="from memory; parts looked up in public code that reads the export",
        rows=events(
            lambda n, who: {
                "id": code(n, "ch_"),
                "Created date (UTC)": day(n),
                "Amount": f"{n * 9 / 4:.2f}",
                "Amount Refunded": "0.00",
                "Currency": "eur",
                "Captured": "true",
                "Converted Amount": f"{n * 9 / 4:.2f}",
                "Decline Reason": "",
                "Description": "Subscription creation",
                "Fee": "0.30",
                "Refunded date (UTC)": "",
                "Status": "Paid",
                "Customer ID": code(who, "cus_"),
                "Customer Description": "",
                "Customer Email": mail(who),
                "Invoice ID": code(n, "in_"),
                "Transfer": "",
            }
        ),
        identifier=("id", "Customer ID"),
        timestamp="Created date (UTC)",
        event_key=("id",),
    ),
    "salesforce contacts": Shape(
        headers="from memory: the fields of the object Contact",
        rows=people(
            lambda n: {
                "Id": f"0035g00000{n:05}AAA",
                "AccountId": f"0015g00000{n % 9:05}AAA",
                "LastName": last(n),
                "FirstName": first(n),
                "Salutation": "",
                "MailingStreet": f"{n} Rue Verte",
                "MailingCity": "Lyon",
                "Phone": "",
                "MobilePhone": phone(n),
                "Email": mail(n),
                "Title": "",
                "Birthdate": f"{1960 + n % 40}-04-0{1 + n % 9}" if n % 2 else "",
                "OwnerId": "0055g000004AbcDAAS",
                "CreatedDate": day(n, "%Y-%m-%dT%H:%M:%S.000+0000"),
                "LastModifiedDate": day(n + 2, "%Y-%m-%dT%H:%M:%S.000+0000"),
                "SystemModstamp": day(n + 2, "%Y-%m-%dT%H:%M:%S.000+0000"),
                "HasOptedOutOfEmail": "false",
            }
        ),
        identifier=("id", "Id"),
        created_at="CreatedDate",
        email="Email",
    ),
    "amplitude events": Shape(
        headers="looked up: the event table of Amplitude's export in a connector's documents",
        kind="ndjson",
        rows=events(
            lambda n, who: {
                "$insert_id": code(n, "ins"),
                "amplitude_id": 90_000_000 + who,
                "app": 123_456,
                "city": "Paris",
                "client_event_time": day(n, "%Y-%m-%d %H:%M:%S.%f"),
                "client_upload_time": day(n + 1, "%Y-%m-%d %H:%M:%S.%f"),
                "country": "France",
                "device_id": code(who, "dev"),
                "device_type": "Apple iPhone",
                "event_id": n,
                "event_properties": {"song": f"S{n}", "seconds": n},
                "event_time": day(n, "%Y-%m-%d %H:%M:%S.%f"),
                "event_type": ("play_song", "search")[n % 2],
                "ip_address": f"203.0.113.{n}",
                "processed_time": day(n + 1, "%Y-%m-%d %H:%M:%S.%f"),
                "server_upload_time": day(n + 1, "%Y-%m-%d %H:%M:%S.%f"),
                "session_id": 1_704_268_800_000 + 3_600_000 * (n // 3),
                "user_creation_time": day(who, "%Y-%m-%d %H:%M:%S.%f"),
                "user_id": f"user{who}@example.com",
                "user_properties": {"plan": "pro"},
                "uuid": f"{n:08x}-aaaa-11ee-8000-0242ac{n:06x}",
            }
        ),
        identifier=("email", "user_id"),
        timestamp="event_time",
        event="event_type",
        event_key=("uuid",),
    ),
    "google analytics events": Shape(
        headers="looked up: the schema of the BigQuery export",
        kind="parquet",
        rows=events(
            lambda n, who: {
                "event_date": day(n, "%Y%m%d"),
                "event_timestamp": int(moment(n).timestamp() * 1_000_000),
                "event_name": ("page_view", "purchase", "scroll")[n % 3],
                "event_params": [{"key": "page_title", "value": {"string_value": "Home", "int_value": None}}],
                "event_previous_timestamp": None,
                "event_bundle_sequence_id": 40 + n // 3,
                "user_id": f"user{who}" if n % 4 == 0 else None,
                "user_pseudo_id": f"{1_200_000 + who}.{1_704_000 + who}",
                "user_first_touch_timestamp": int(moment(0).timestamp() * 1_000_000),
                "platform": "WEB",
                "stream_id": "2351",
            }
        ),
        identifier=("anonymous_id", "user_pseudo_id"),
        timestamp="event_timestamp",
        event="event_name",
        event_key=("user_pseudo_id", "event_name", "event_timestamp"),
    ),
    "customer.io people": Shape(
        headers="from memory: id, email, cio_id and attributes, as the export of people has them",
        rows=people(
            lambda n: {
                "id": str(700 + n),
                "email": mail(n),
                "cio_id": f"a30000{n:02x}",
                "created_at": str(1_704_268_800 + 86_400 * n),
                "first_name": first(n),
                "plan": "pro" if n % 3 else "",
                "unsubscribed": "false" if n % 8 else "true",
            }
        ),
        identifier=("id", "id"),
        created_at="created_at",
        email="email",
    ),
    "chinook customers": Shape(
        headers="from memory: the sample database",
        kind="table Customer",
        rows=people(
            lambda n: {
                "CustomerId": n + 1,
                "FirstName": first(n),
                "LastName": last(n),
                "Company": None,
                "Address": f"{n} Rue Verte",
                "City": "Lyon",
                "Country": "France",
                "PostalCode": f"{69000 + n}",
                "Phone": f"+33 4 72 00 00 {n:02}",
                "Fax": None,
                "Email": mail(n),
                "SupportRepId": 3 + n % 3,
            }
        ),
        identifier=("id", "CustomerId"),
        email="Email",
    ),
    "chinook invoices": Shape(
        headers="from memory: the sample database",
        kind="table Invoice",
        rows=events(
            lambda n, who: {
                "InvoiceId": n + 1,
                "CustomerId": who + 1,
                "InvoiceDate": day(n, "%Y-%m-%d 00:00:00"),
                "BillingAddress": f"{who} Rue Verte",
                "BillingCity": "Lyon",
                "BillingCountry": "France",
                "BillingPostalCode": f"{69000 + who}",
                "Total": n / 4,
            }
        ),
        identifier=("id", "CustomerId"),
        timestamp="InvoiceDate",
        event_key=("InvoiceId",),
    ),
    "northwind customers": Shape(
        headers="from memory: the sample database",
        kind="table Customers",
        rows=people(
            lambda n: {
                "CustomerID": f"{chr(65 + n % 26)}{chr(65 + n // 26)}KFI",
                "CompanyName": f"Shop {n}",
                "ContactName": f"{first(n)} {last(n)}",
                "ContactTitle": "Owner",
                "Address": f"{n} Rue Verte",
                "City": "Lyon",
                "Region": None,
                "PostalCode": f"{69000 + n}",
                "Country": "France",
                "Phone": f"030-007{n:04}",
                "Fax": None,
            }
        ),
        identifier=("id", "CustomerID"),
    ),
    "northwind orders": Shape(
        headers="from memory: the sample database",
        kind="table Orders",
        rows=events(
            lambda n, who: {
                "OrderID": 10_248 + n,
                "CustomerID": f"{chr(65 + who % 26)}{chr(65 + who // 26)}KFI",
                "EmployeeID": 1 + n % 9,
                "OrderDate": day(n, "%Y-%m-%d"),
                "RequiredDate": day(n + 9, "%Y-%m-%d"),
                "ShippedDate": day(n + 3, "%Y-%m-%d") if n % 7 else None,
                "ShipVia": 1 + n % 3,
                "Freight": n / 8,
                "ShipName": f"Shop {who}",
                "ShipAddress": f"{who} Rue Verte",
                "ShipCity": "Lyon",
            }
        ),
        identifier=("id", "CustomerID"),
        timestamp="OrderDate",
        event_key=("OrderID",),
    ),
    "posthog events": Shape(
        headers="from memory: the table of events exported as CSV",
        rows=events(
            lambda n, who: {
                "uuid": f"{n:08x}-aaaa-11ee-8000-0242ac{n:06x}",
                "event": ("$pageview", "signed up")[n % 2],
                "properties": f'{{"$browser": "Firefox", "amount": {n}}}',
                "timestamp": day(n),
                "distinct_id": code(who),
                "created_at": day(n),
            }
        ),
        identifier=("id", "distinct_id"),
        timestamp="timestamp",
        event="event",
        event_key=("uuid",),
    ),
    "olist orders": Shape(
        headers="from memory: a public data set, in which each order has a customer_id of its own",
        kind="table olist_orders",
        rows=people(
            lambda n: {
                "order_id": code(n, length=28),
                "customer_id": code(n + 1_000, length=28),
                "order_status": "delivered" if n % 9 else "canceled",
                "order_purchase_timestamp": day(n),
                "order_approved_at": day(n + 1),
                "order_delivered_customer_date": day(n + 8) if n % 9 else None,
                "order_estimated_delivery_date": day(n + 20),
            }
        ),
        identifier=("id", "customer_id"),
        timestamp="order_purchase_timestamp",
        event_key=("order_id",),
    ),
    "a list of five columns": Shape(
        headers="of no product",
        rows=people(
            lambda n: {
                "email": mail(n),
                "list": "spring",
                "status": "active" if n % 3 else "bounced",
                "score": str(n % 10),
                "date": day(n, "%Y-%m-%d"),
            }
        ),
        identifier=("email", "email"),
    ),
}


def write(shape: Shape, folder: Path = Path()) -> list[str]:
    """Writes the export; the arguments of `init` that name it."""
    rows, (kind, _, table) = shape.rows(), shape.kind.partition(" ")
    if kind == "table":
        with closing(sqlite3.connect(folder / "export.db")) as database:
            names = ", ".join(f'"{name}"' for name in rows[0])
            database.execute(f'create table "{table}" ({names})')
            placeholders = ", ".join("?" * len(rows[0]))
            database.executemany(f'insert into "{table}" values ({placeholders})', [list(row.values()) for row in rows])
            database.commit()
        return ["sqlite:///export.db", "--table", table]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    path = folder / f"export.{kind}"
    if kind == "csv":
        frame.write_csv(path)
    elif kind == "ndjson":
        frame.write_ndjson(path)
    else:
        frame.write_parquet(path)
    return [path.name]
