-- A warehouse of Segment, as its document describes it. SQLite has no dates: they are texts.
create table users (id text, received_at text, uuid_ts text, context_library_name text, context_ip text,
  email text, name text, created_at text, plan text, unsubscribed boolean, logins integer);
insert into users values
  ('u_00042', '2024-03-10 09:00:00.123', '2024-03-10 09:05:00', 'analytics.js', '192.0.2.1', 'Ada@Example.com', 'Ada', '2023-01-02 03:04:05', 'pro', false, 12),
  ('u_00043', '2024-03-11 10:00:00', '2024-03-11 10:05:00', 'analytics.js', '192.0.2.2', 'ben@example.com', null, '2023-05-06T07:08:09Z', 'free', true, 1),
  ('u_00044', '2024-03-12 11:00:00', '2024-03-12 11:05:00', 'analytics-ruby', null, 'chloe@@example.com', 'Chloé "Cleo"', null, null, null, null);

create table identifies (id text, user_id text, anonymous_id text, received_at text, sent_at text,
  original_timestamp text, timestamp text, uuid_ts text, context_library_name text, email text, plan text);
insert into identifies values
  ('ajs-i-1', 'u_00042', 'anon-ada', '2024-03-10 09:00:00', '2024-03-10 09:00:00', '2024-03-10 09:00:00', '2024-03-10 09:00:00', '2024-03-10 09:05:00', 'analytics.js', 'Ada@Example.com', 'free'),
  ('ajs-i-2', 'u_00042', 'anon-ada', '2024-03-10 09:10:00', '2024-03-10 09:10:00', '2024-03-10 09:10:00', '2024-03-10 09:10:00', '2024-03-10 09:15:00', 'analytics.js', 'Ada@Example.com', 'pro'),
  ('ajs-i-3', 'u_00043', 'anon-shared', '2024-03-11 10:00:00', '2024-03-11 10:00:00', '2024-03-11 10:00:00', '2024-03-11 10:00:00', '2024-03-11 10:05:00', 'analytics.js', 'ben@example.com', 'free'),
  ('ajs-i-4', 'u_00044', 'anon-shared', '2024-03-12 11:00:00', '2024-03-12 11:00:00', '2024-03-12 11:00:00', '2024-03-12 11:00:00', '2024-03-12 11:05:00', 'analytics.js', null, null);

create table tracks (id text, user_id text, anonymous_id text, event text, event_text text, timestamp text,
  received_at text, sent_at text, original_timestamp text, uuid_ts text, context_library_name text, context_page_path text);
insert into tracks values
  ('ajs-t-1', null, 'anon-ada', 'product_viewed', 'Product Viewed', '2024-03-10 08:59:00.500', '2024-03-10 08:59:01', null, null, '2024-03-10 09:05:00', 'analytics.js', '/cups'),
  ('ajs-t-2', 'u_00042', 'anon-ada', 'order_completed', 'Order Completed', '2024-03-10 09:20:00', '2024-03-10 09:20:01', null, null, '2024-03-10 09:25:00', 'analytics.js', '/checkout'),
  ('ajs-t-3', 'u_00043', null, 'signed_up', 'Signed Up', '2024-03-11 10:00:00', '2024-03-11 10:00:01', null, null, '2024-03-11 10:05:00', 'analytics-ruby', null),
  ('ajs-t-3', 'u_00043', null, 'signed_up', 'Signed Up', '2024-03-11 10:00:00', '2024-03-11 10:00:01', null, null, '2024-03-11 10:05:00', 'analytics-ruby', null),
  ('ajs-t-4', null, 'anon-shared', 'product_viewed', 'Product Viewed', '2024-03-11 11:00:00', '2024-03-11 11:00:01', null, null, '2024-03-11 11:05:00', 'analytics.js', '/tea'),
  ('ajs-t-5', null, 'anon-nobody', 'product_viewed', 'Product Viewed', '2024-03-11 12:00:00', '2024-03-11 12:00:01', null, null, '2024-03-11 12:05:00', 'analytics.js', '/tea'),
  ('ajs-t-6', 'u_99999', 'anon-late', 'product_viewed', 'Product Viewed', '2024-03-12 12:00:00', '2024-03-12 12:00:01', null, null, '2024-03-12 12:05:00', 'analytics.js', '/tea');

create table order_completed (id text, user_id text, anonymous_id text, event text, event_text text, timestamp text,
  received_at text, sent_at text, original_timestamp text, uuid_ts text, context_library_name text,
  order_id text, total real, coupon text, products text);
insert into order_completed values
  ('ajs-t-2', 'u_00042', 'anon-ada', 'order_completed', 'Order Completed', '2024-03-10 09:20:00', '2024-03-10 09:20:01', null, null, '2024-03-10 09:25:00', 'analytics.js', '0000001', 49.9, 'SPRING', '[{"sku":"C1","quantity":2}]'),
  ('ajs-t-7', null, 'anon-nobody', 'order_completed', 'Order Completed', '2024-03-10 10:20:00', '2024-03-10 10:20:01', null, null, '2024-03-10 10:25:00', 'analytics.js', '0000002', 5.0, null, null);

create table pages (id text, user_id text, anonymous_id text, name text, url text, path text, title text,
  referrer text, search text, timestamp text, received_at text, sent_at text, original_timestamp text, uuid_ts text,
  context_library_name text);
insert into pages values
  ('ajs-p-1', null, 'anon-ada', null, 'https://www.example.com/cups?x=1', '/cups', 'Cups', null, '?x=1', '2024-03-10 08:58:00', '2024-03-10 08:58:01', null, null, '2024-03-10 09:05:00', 'analytics.js'),
  ('ajs-p-2', 'u_00043', 'anon-shared', 'Home', 'https://www.example.com/', '/', 'Home', 'https://search.example.com/', null, '2024-03-11 09:58:00', '2024-03-11 09:58:01', null, null, '2024-03-11 10:05:00', 'analytics.js'),
  ('ajs-p-3', 'u_00044', null, ' ', 'https://www.example.com/account', '/account', null, null, null, '2024-03-12 09:58:00', '2024-03-12 09:58:01', null, null, '2024-03-12 10:05:00', 'analytics.js'),
  ('ajs-p-4', null, 'anon-nobody', 'Home', 'https://www.example.com/', '/', 'Home', null, null, '2024-03-12 09:59:00', '2024-03-12 09:59:01', null, null, '2024-03-12 10:05:00', 'analytics.js');

create table groups (id text, user_id text, anonymous_id text, group_id text, name text, employees integer,
  timestamp text, received_at text, sent_at text, original_timestamp text, uuid_ts text, context_library_name text);
insert into groups values
  ('ajs-g-1', 'u_00042', 'anon-ada', 'acme', 'Acme', 10, '2024-03-10 09:01:00', '2024-03-10 09:01:01', null, null, '2024-03-10 09:05:00', 'analytics.js'),
  ('ajs-g-2', 'u_00043', null, 'acme', 'Acme, Inc.', 12, '2024-03-11 10:01:00', '2024-03-11 10:01:01', null, null, '2024-03-11 10:05:00', 'analytics-ruby'),
  ('ajs-g-3', null, null, 'globex', 'Globex', null, '2024-03-11 10:02:00', '2024-03-11 10:02:01', null, null, '2024-03-11 10:05:00', 'analytics-ruby'),
  ('ajs-g-4', 'u_00044', null, null, null, null, '2024-03-11 10:03:00', '2024-03-11 10:03:01', null, null, '2024-03-11 10:05:00', 'analytics-ruby');
