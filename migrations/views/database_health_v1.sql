-- The database itself: sizes, rows that are dead and not yet swept up, connections. Of the whole server where it says so.
CREATE VIEW watch.database_health AS
SELECT 'size of the database' AS item, pg_database_size(current_database())::double precision AS value, 'bytes' AS unit,
       true AS is_fine, 'watch the free space of the disk' AS note
UNION ALL
SELECT 'size of ' || c.relname, pg_total_relation_size(c.oid)::double precision, 'bytes', true, 'with its indexes'
  FROM pg_class c WHERE c.relnamespace = 'ledger'::regnamespace AND c.relkind = 'r' AND c.relname <> 'schema_version'
UNION ALL
SELECT 'dead rows of ' || s.relname, s.n_dead_tup::double precision, 'rows',
       s.n_dead_tup < 20000 + 0.5 * s.n_live_tup,
       CASE WHEN s.n_dead_tup < 20000 + 0.5 * s.n_live_tup THEN 'autovacuum keeps up'
            ELSE 'autovacuum does not keep up: a transaction that stays open keeps it from sweeping' END
  FROM pg_stat_user_tables s WHERE s.schemaname = 'ledger' AND s.relname <> 'schema_version'
UNION ALL
SELECT 'connections to this database', count(*)::double precision, 'connections', true,
       'coordinator, workers and who looks on'
  FROM pg_stat_activity WHERE datname = current_database()
UNION ALL
SELECT 'free connections of the server', free::double precision, 'connections', free >= 0.1 * most,
       format('of %s; each worker takes a few', most)
  FROM (SELECT setting::bigint AS most,
               setting::bigint - (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL) AS free
          FROM pg_settings WHERE name = 'max_connections') c
UNION ALL
SELECT 'time since the server started', extract(epoch FROM now() - pg_postmaster_start_time())::double precision, 'seconds',
       true, 'a restart costs workers nothing but time'
UNION ALL
SELECT 'transactions since the last freeze', age(datfrozenxid)::double precision, 'transactions',
       age(datfrozenxid) < 1500000000, 'the server refuses to write at 2,100 million'
  FROM pg_database WHERE datname = current_database()
UNION ALL
SELECT 'notifications that wait', 100 * pg_notification_queue_usage(), 'percent', pg_notification_queue_usage() < 0.5,
       'at 100 nobody can submit: a session listens in a transaction that stays open';
