-- A warehouse of RudderStack, as its document describes it. SQLite has no dates: they are texts.
create table users (id text, received_at text, uuid_ts text, context_library_name text, context_ip text,
  email text, name text, created_at text, plan text, unsubscribed boolean, logins integer,
  channel text, context_source_id text, context_destination_id text);
insert into users values
  ('u_00042', '2024-03-10 09:00:00.123', '2024-03-10 09:05:00', 'RudderLabs JavaScript SDK', '192.0.2.1', 'Ada@Example.com', 'Ada', '2023-01-02 03:04:05', 'pro', false, 12, 'web', 'source1', 'destination1'),
  ('u_00043', '2024-03-11 10:00:00', '2024-03-11 10:05:00', 'RudderLabs JavaScript SDK', '192.0.2.2', 'ben@example.com', null, '2023-05-06T07:08:09Z', 'free', true, 1, 'web', 'source1', 'destination1'),
  ('u_00044', '2024-03-12 11:00:00', '2024-03-12 11:05:00', 'analytics-ruby', null, 'chloe@@example.com', 'Chloé "Cleo"', null, null, null, null, 'web', 'source1', 'destination1');

create table identifies (id text, user_id text, anonymous_id text, received_at text, sent_at text,
  original_timestamp text, timestamp text, uuid_ts text, context_library_name text, email text, plan text,
  channel text, context_source_id text, context_destination_id text);
insert into identifies values
  ('rudder-i-1', 'u_00042', 'anon-ada', '2024-03-10 09:00:00', '2024-03-10 09:00:00', '2024-03-10 09:00:00', '2024-03-10 09:00:00', '2024-03-10 09:05:00', 'RudderLabs JavaScript SDK', 'Ada@Example.com', 'free', 'web', 'source1', 'destination1'),
  ('rudder-i-2', 'u_00042', 'anon-ada', '2024-03-10 09:10:00', '2024-03-10 09:10:00', '2024-03-10 09:10:00', '2024-03-10 09:10:00', '2024-03-10 09:15:00', 'RudderLabs JavaScript SDK', 'Ada@Example.com', 'pro', 'web', 'source1', 'destination1'),
  ('rudder-i-3', 'u_00043', 'anon-shared', '2024-03-11 10:00:00', '2024-03-11 10:00:00', '2024-03-11 10:00:00', '2024-03-11 10:00:00', '2024-03-11 10:05:00', 'RudderLabs JavaScript SDK', 'ben@example.com', 'free', 'web', 'source1', 'destination1'),
  ('rudder-i-4', 'u_00044', 'anon-shared', '2024-03-12 11:00:00', '2024-03-12 11:00:00', '2024-03-12 11:00:00', '2024-03-12 11:00:00', '2024-03-12 11:05:00', 'RudderLabs JavaScript SDK', null, null, 'web', 'source1', 'destination1');

create table tracks (id text, user_id text, anonymous_id text, event text, event_text text, timestamp text,
  received_at text, sent_at text, original_timestamp text, uuid_ts text, context_library_name text, context_page_path text,
  channel text, context_source_id text, context_destination_id text);
insert into tracks values
  ('rudder-t-1', null, 'anon-ada', 'product_viewed', 'Product Viewed', '2024-03-10 08:59:00.500', '2024-03-10 08:59:01', null, null, '2024-03-10 09:05:00', 'RudderLabs JavaScript SDK', '/cups', 'web', 'source1', 'destination1'),
  ('rudder-t-2', 'u_00042', 'anon-ada', 'order_completed', 'Order Completed', '2024-03-10 09:20:00', '2024-03-10 09:20:01', null, null, '2024-03-10 09:25:00', 'RudderLabs JavaScript SDK', '/checkout', 'web', 'source1', 'destination1'),
  ('rudder-t-3', 'u_00043', null, 'signed_up', 'Signed Up', '2024-03-11 10:00:00', '2024-03-11 10:00:01', null, null, '2024-03-11 10:05:00', 'analytics-ruby', null, 'web', 'source1', 'destination1'),
  ('rudder-t-3', 'u_00043', null, 'signed_up', 'Signed Up', '2024-03-11 10:00:00', '2024-03-11 10:00:01', null, null, '2024-03-11 10:05:00', 'analytics-ruby', null, 'web', 'source1', 'destination1'),
  ('rudder-t-4', null, 'anon-shared', 'product_viewed', 'Product Viewed', '2024-03-11 11:00:00', '2024-03-11 11:00:01', null, null, '2024-03-11 11:05:00', 'RudderLabs JavaScript SDK', '/tea', 'web', 'source1', 'destination1'),
  ('rudder-t-5', null, 'anon-nobody', 'product_viewed', 'Product Viewed', '2024-03-11 12:00:00', '2024-03-11 12:00:01', null, null, '2024-03-11 12:05:00', 'RudderLabs JavaScript SDK', '/tea', 'web', 'source1', 'destination1'),
  ('rudder-t-6', 'u_99999', 'anon-late', 'product_viewed', 'Product Viewed', '2024-03-12 12:00:00', '2024-03-12 12:00:01', null, null, '2024-03-12 12:05:00', 'RudderLabs JavaScript SDK', '/tea', 'web', 'source1', 'destination1');

create table order_completed (id text, user_id text, anonymous_id text, event text, event_text text, timestamp text,
  received_at text, sent_at text, original_timestamp text, uuid_ts text, context_library_name text,
  order_id text, total real, coupon text, products text,
  channel text, context_source_id text, context_destination_id text);
insert into order_completed values
  ('rudder-t-2', 'u_00042', 'anon-ada', 'order_completed', 'Order Completed', '2024-03-10 09:20:00', '2024-03-10 09:20:01', null, null, '2024-03-10 09:25:00', 'RudderLabs JavaScript SDK', '0000001', 49.9, 'SPRING', '[{"sku":"C1","quantity":2}]', 'web', 'source1', 'destination1'),
  ('rudder-t-7', null, 'anon-nobody', 'order_completed', 'Order Completed', '2024-03-10 10:20:00', '2024-03-10 10:20:01', null, null, '2024-03-10 10:25:00', 'RudderLabs JavaScript SDK', '0000002', 5.0, null, null, 'web', 'source1', 'destination1');

create table pages (id text, user_id text, anonymous_id text, name text, url text, path text, title text,
  referrer text, search text, timestamp text, received_at text, sent_at text, original_timestamp text, uuid_ts text,
  context_library_name text,
  channel text, context_source_id text, context_destination_id text);
insert into pages values
  ('rudder-p-1', null, 'anon-ada', null, 'https://www.example.com/cups?x=1', '/cups', 'Cups', null, '?x=1', '2024-03-10 08:58:00', '2024-03-10 08:58:01', null, null, '2024-03-10 09:05:00', 'RudderLabs JavaScript SDK', 'web', 'source1', 'destination1'),
  ('rudder-p-2', 'u_00043', 'anon-shared', 'Home', 'https://www.example.com/', '/', 'Home', 'https://search.example.com/', null, '2024-03-11 09:58:00', '2024-03-11 09:58:01', null, null, '2024-03-11 10:05:00', 'RudderLabs JavaScript SDK', 'web', 'source1', 'destination1'),
  ('rudder-p-3', 'u_00044', null, ' ', 'https://www.example.com/account', '/account', null, null, null, '2024-03-12 09:58:00', '2024-03-12 09:58:01', null, null, '2024-03-12 10:05:00', 'RudderLabs JavaScript SDK', 'web', 'source1', 'destination1'),
  ('rudder-p-4', null, 'anon-nobody', 'Home', 'https://www.example.com/', '/', 'Home', null, null, '2024-03-12 09:59:00', '2024-03-12 09:59:01', null, null, '2024-03-12 10:05:00', 'RudderLabs JavaScript SDK', 'web', 'source1', 'destination1');

create table groups (id text, user_id text, anonymous_id text, group_id text, name text, employees integer,
  timestamp text, received_at text, sent_at text, original_timestamp text, uuid_ts text, context_library_name text,
  channel text, context_source_id text, context_destination_id text);
insert into groups values
  ('rudder-g-1', 'u_00042', 'anon-ada', 'acme', 'Acme', 10, '2024-03-10 09:01:00', '2024-03-10 09:01:01', null, null, '2024-03-10 09:05:00', 'RudderLabs JavaScript SDK', 'web', 'source1', 'destination1'),
  ('rudder-g-2', 'u_00043', null, 'acme', 'Acme, Inc.', 12, '2024-03-11 10:01:00', '2024-03-11 10:01:01', null, null, '2024-03-11 10:05:00', 'analytics-ruby', 'web', 'source1', 'destination1'),
  ('rudder-g-3', null, null, 'globex', 'Globex', null, '2024-03-11 10:02:00', '2024-03-11 10:02:01', null, null, '2024-03-11 10:05:00', 'analytics-ruby', 'web', 'source1', 'destination1'),
  ('rudder-g-4', 'u_00044', null, null, null, null, '2024-03-11 10:03:00', '2024-03-11 10:03:01', null, null, '2024-03-11 10:05:00', 'analytics-ruby', 'web', 'source1', 'destination1');
