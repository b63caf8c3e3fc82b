"""Ways out of the ledger: definitions, rights, roles, files, programs, the server itself."""

from __future__ import annotations

from tests.integration.hostile.case import NO_EXTENSION, NO_RIGHT, Case, refused, without_effect

_SCHEMAS = ("public", "pg_temp", "volunteer", "watch", "ledger", "pg_catalog")
_IN_EACH_SCHEMA = {
    "table": "CREATE TABLE {schema}.hole (x int)",
    "view": "CREATE VIEW {schema}.hole AS SELECT 1 AS x",
    "sequence": "CREATE SEQUENCE {schema}.hole",
    "function": "CREATE FUNCTION {schema}.hole() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "procedure": "CREATE PROCEDURE {schema}.hole() LANGUAGE plpgsql AS 'BEGIN END'",
    "operator": "CREATE OPERATOR {schema}.= (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)",
    "aggregate": "CREATE AGGREGATE {schema}.hole (int) (SFUNC = int4pl, STYPE = int)",
    "type": "CREATE TYPE {schema}.hole AS (x int)",
    "domain": "CREATE DOMAIN {schema}.hole AS int",
    "collation": 'CREATE COLLATION {schema}.hole FROM "C"',
}
_OTHERS = {"owner": "<owner>", "superuser": "<superuser>", "neighbour": "<them>"}

DEFINITIONS: tuple[Case, ...] = (
    *(
        # Operators are the superuser's alone to make out of functions of the system's, wherever they go.
        refused(f"create {kind} in {schema}", statement.format(schema=schema))
        for schema in _SCHEMAS
        for kind, statement in _IN_EACH_SCHEMA.items()
    ),
    refused("create schema", "CREATE SCHEMA hole"),
    refused("create schema of my name", 'CREATE SCHEMA AUTHORIZATION "<me>"'),
    refused("create temporary table", "CREATE TEMP TABLE hole (x int)"),
    refused("select into a temporary table", "SELECT 1 AS x INTO TEMP hole"),
    refused("create temporary view", "CREATE TEMP VIEW hole AS SELECT 1"),
    refused(
        "replace a function",
        "CREATE OR REPLACE FUNCTION volunteer.claim_v1(p_worker bigint) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
    refused(
        "overload a function",
        "CREATE FUNCTION volunteer.claim_v1(p_worker text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
    refused("loosen a function", "ALTER FUNCTION volunteer.claim_v1(bigint) RESET search_path"),
    refused("invoker's function", "ALTER FUNCTION volunteer.claim_v1(bigint) SECURITY INVOKER"),
    refused("drop a function", "DROP FUNCTION volunteer.claim_v1(bigint)"),
    refused("own a function", 'ALTER FUNCTION volunteer.claim_v1(bigint) OWNER TO "<me>"'),
    refused("own a view", 'ALTER VIEW watch.units OWNER TO "<me>"'),
    refused("rename a schema", "ALTER SCHEMA watch RENAME TO hole"),
    refused("drop a schema", "DROP SCHEMA watch CASCADE"),
    refused("drop public", "DROP SCHEMA public"),
    refused("comment on a view", "COMMENT ON VIEW watch.units IS 'ha'"),
    refused("comment on a function", "COMMENT ON FUNCTION volunteer.claim_v1(bigint) IS 'ha'"),
    refused("comment on the database", "COMMENT ON DATABASE \"<database>\" IS 'ha'"),
    refused("create cast", "CREATE CAST (text AS int) WITH INOUT", NO_RIGHT, "42P17", "42710"),
    refused(
        "create event trigger", "CREATE EVENT TRIGGER hole ON ddl_command_end EXECUTE FUNCTION f()", NO_RIGHT, "42883"
    ),
    refused("create publication", "CREATE PUBLICATION hole"),
    refused(
        "create subscription",
        "CREATE SUBSCRIPTION hole CONNECTION 'host=127.0.0.1' PUBLICATION p WITH (connect = false)",
    ),
    refused("create database", "CREATE DATABASE hole"),
    refused("create tablespace", "CREATE TABLESPACE hole LOCATION '/tmp'"),
    refused("create language", "CREATE LANGUAGE plperl", *NO_EXTENSION, "42704"),
    refused("create access method", "CREATE ACCESS METHOD hole TYPE INDEX HANDLER bthandler"),
    refused("create wrapper", "CREATE FOREIGN DATA WRAPPER hole"),
    refused("create server", "CREATE SERVER hole FOREIGN DATA WRAPPER postgres_fdw", NO_RIGHT, "42704"),
    refused("create dblink", "CREATE EXTENSION dblink SCHEMA volunteer", *NO_EXTENSION),
    refused("create postgres_fdw", "CREATE EXTENSION postgres_fdw SCHEMA volunteer", *NO_EXTENSION),
    refused("create hstore, which is trusted", "CREATE EXTENSION hstore SCHEMA volunteer", *NO_EXTENSION),
    refused("drop plpgsql", "DROP EXTENSION plpgsql"),
    refused("use dblink", "SELECT dblink('host=127.0.0.1', 'SELECT 1')", "42883"),
    refused("load a library", "LOAD 'plpgsql'"),
    refused("C function", "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE c AS '/tmp/x.so', 'f'"),
    refused("event trigger of the session", "SET session_replication_role = replica"),
)

ROLES: tuple[Case, ...] = (
    *(refused(f"set role {name}", f'SET ROLE "{role}"') for name, role in _OTHERS.items()),
    *(
        refused(f"become {name}", f'SET SESSION AUTHORIZATION "{role}"')
        for name, role in (_OTHERS | {"group": "barnraise_volunteers"}).items()
    ),
    *(
        refused(f"give myself {right}", f'ALTER ROLE "<me>" {right}')
        for right in (
            "SUPERUSER",
            "CREATEROLE",
            "CREATEDB",
            "REPLICATION",
            "BYPASSRLS",
            "CONNECTION LIMIT 1000",
            "VALID UNTIL 'infinity'",
        )
    ),
    refused("rename myself", 'ALTER ROLE "<me>" RENAME TO "<them>x"', NO_RIGHT, "0A000"),
    *(refused(f"password of {name}", f"ALTER ROLE \"{role}\" PASSWORD 'mine'") for name, role in _OTHERS.items()),
    *(
        refused(f"settings of {name}", f'ALTER ROLE "{role}" SET statement_timeout = 1')
        for name, role in _OTHERS.items()
    ),
    *(refused(f"be a member of {name}", f'GRANT "{role}" TO "<me>"') for name, role in _OTHERS.items()),
    *(
        refused(f"be a member of {role}", f'GRANT {role} TO "<me>"')
        for role in (
            "pg_read_all_data",
            "pg_read_server_files",
            "pg_execute_server_program",
            "pg_signal_backend",
            "barnraise_observers",
        )
    ),
    refused("become the group", "SET ROLE barnraise_volunteers", oldest=16),
    refused("admit to the group", 'GRANT barnraise_volunteers TO "<them>"'),
    refused("put out of the group", 'REVOKE barnraise_volunteers FROM "<them>"'),
    refused("create role", "CREATE ROLE hole"),
    refused("drop neighbour", 'DROP ROLE "<them>"'),
    refused("drop group", "DROP ROLE barnraise_volunteers"),
    refused("settings of all", "ALTER ROLE ALL SET statement_timeout = 1"),
    refused("comment on myself", "COMMENT ON ROLE \"<me>\" IS 'ha'"),
    refused("own what others own", 'REASSIGN OWNED BY "<owner>" TO "<me>"'),
    refused("drop what others own", 'DROP OWNED BY "<owner>" CASCADE'),
    refused("drop what a neighbour has", 'DROP OWNED BY "<them>"'),
    refused(
        "rights of what the owner makes", 'ALTER DEFAULT PRIVILEGES FOR ROLE "<owner>" GRANT ALL ON TABLES TO PUBLIC'
    ),
    refused("grant a table", "GRANT SELECT ON ledger.work_units TO PUBLIC"),
    refused("grant all tables", "GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO PUBLIC"),
    refused("grant a schema", "GRANT USAGE ON SCHEMA ledger TO PUBLIC"),
    refused("grant an internal function", "GRANT EXECUTE ON FUNCTION ledger.caller_v1() TO PUBLIC"),
    refused("grant a parameter", "GRANT SET ON PARAMETER temp_file_limit TO PUBLIC", oldest=15),
    without_effect("drop what the group has", "DROP OWNED BY barnraise_volunteers CASCADE"),
    refused("let a stranger connect", 'GRANT "<everybody>" TO "<them>"'),
    refused("keep a neighbour out", 'REVOKE "<everybody>" FROM "<them>"'),
    refused("become everybody", 'SET ROLE "<everybody>"', oldest=16),
    without_effect("drop what everybody has", 'DROP OWNED BY "<everybody>" CASCADE'),
    without_effect("keep everybody out", 'REVOKE CONNECT ON DATABASE "<database>" FROM "<everybody>"'),
    without_effect("drop what I have", "DROP OWNED BY CURRENT_USER CASCADE"),
    without_effect(
        "take a function from the group",
        "REVOKE EXECUTE ON FUNCTION volunteer.claim_v1(bigint) FROM barnraise_volunteers",
    ),
    without_effect("give a function to all", "GRANT EXECUTE ON FUNCTION volunteer.claim_v1(bigint) TO PUBLIC"),
    without_effect("give a view to all", "GRANT SELECT ON watch.units TO PUBLIC"),
    without_effect("give a view to all for writing", "GRANT INSERT ON watch.units TO PUBLIC"),
    without_effect("give a schema to all", "GRANT USAGE ON SCHEMA volunteer TO PUBLIC"),
    without_effect("give the database to all", 'GRANT CONNECT, TEMPORARY ON DATABASE "<database>" TO PUBLIC'),
    without_effect("give what the group owns to me", 'REASSIGN OWNED BY barnraise_volunteers TO "<me>"'),
)

THE_SERVER: tuple[Case, ...] = (
    refused("program", "COPY (SELECT 1) TO PROGRAM 'id'"),
    refused("program's output", "COPY pg_am FROM PROGRAM 'id'"),
    refused("write a file", "COPY (SELECT 1) TO '/tmp/hole'"),
    refused("read a file by COPY", "COPY pg_am FROM '/etc/passwd'"),
    refused("read a file", "SELECT pg_read_file('PG_VERSION')"),
    refused("read a binary file", "SELECT pg_read_binary_file('PG_VERSION')"),
    refused("list a directory", "SELECT pg_ls_dir('.')"),
    refused("list the log", "SELECT pg_ls_logdir()"),
    refused("list the WAL", "SELECT pg_ls_waldir()"),
    refused("stat a file", "SELECT pg_stat_file('PG_VERSION')"),
    refused("where the data are", "SHOW data_directory"),
    refused("where the log is", "SELECT pg_current_logfile()"),
    *(
        refused(f"read {name}", f"SELECT * FROM pg_catalog.{name}")
        for name in (
            "pg_authid",
            "pg_shadow",
            "pg_user_mapping",
            "pg_statistic",
            "pg_largeobject",
            "pg_hba_file_rules",
            "pg_file_settings",
            "pg_config",
            "pg_backend_memory_contexts",
            "pg_shmem_allocations",
        )
    ),
    refused("read pg_subscription", "SELECT subconninfo FROM pg_subscription"),
    *(
        refused(f"large objects: {call}", f"SELECT {call}")
        for call in (
            "lo_create(0)",
            "lo_creat(-1)",
            "lo_from_bytea(0, 'x')",
            "lo_import('/etc/passwd')",
            "lo_unlink(1)",
            "lo_open(1, 131072)",
            "lo_put(1, 0, 'x')",
            "lo_get(1)",
            "lo_export(1, '/tmp/hole')",
        )
    ),
    *(
        refused(f"advisory lock: {call}", f"SELECT {call}")
        for call in (
            "pg_advisory_lock(1)",
            "pg_try_advisory_lock(1)",
            "pg_advisory_xact_lock(1, 2)",
            "pg_advisory_lock_shared(1)",
            "pg_try_advisory_xact_lock_shared(1)",
        )
    ),
    *(
        refused(f"sleep: {call}", f"SELECT {call}")
        for call in ("pg_sleep(1)", "pg_sleep_for('1 day')", "pg_sleep_until('infinity')")
    ),
    refused("bytes into the WAL", "SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000))"),
    refused("end the coordinator", "SELECT pg_terminate_backend(<owner_pid>)"),
    refused("cancel the coordinator", "SELECT pg_cancel_backend(<owner_pid>)"),
    refused("end the superuser", "SELECT pg_terminate_backend(<superuser_pid>)"),
    refused("end the neighbour", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '<them>'"),
    refused("reload", "SELECT pg_reload_conf()"),
    refused("rotate the log", "SELECT pg_rotate_logfile()"),
    refused("alter system", "ALTER SYSTEM SET fsync = off", NO_RIGHT),
    refused("alter database", 'ALTER DATABASE "<database>" SET search_path = hole'),
    refused("rename database", 'ALTER DATABASE "<database>" RENAME TO hole'),
    refused("drop database", 'DROP DATABASE "<database>"', NO_RIGHT, "55006"),
    refused("checkpoint", "CHECKPOINT"),
    refused("reset statistics", "SELECT pg_stat_reset()"),
    refused("reindex", 'REINDEX DATABASE "<database>"'),
    refused("reindex catalogues", 'REINDEX SYSTEM "<database>"'),
    refused("replication slot", "SELECT pg_create_physical_replication_slot('hole')", NO_RIGHT, "55000"),
    refused("replication origin", "SELECT pg_replication_origin_create('hole')"),
    refused("promote", "SELECT pg_promote()"),
    refused("restore point", "SELECT pg_create_restore_point('hole')"),
    refused("switch the WAL", "SELECT pg_switch_wal()"),
    refused("memory contexts", "SELECT pg_log_backend_memory_contexts(<owner_pid>)"),
    refused("prepare a transaction", "BEGIN; PREPARE TRANSACTION 'hole'", "55000"),
    refused("security label", "SECURITY LABEL ON ROLE \"<me>\" IS 'x'", "22023", NO_RIGHT),
    refused("unlimited files", "SET temp_file_limit = -1"),
    refused("silent log", "SET log_min_messages = panic"),
    refused("log of all statements", "SET log_statement = 'all'"),
    refused("lock a catalogue", "BEGIN; LOCK TABLE pg_catalog.pg_class"),
    refused("write a catalogue", "UPDATE pg_catalog.pg_proc SET prosecdef = false"),
    refused("delete from a catalogue", "DELETE FROM pg_catalog.pg_authid"),
    refused("truncate a catalogue", "TRUNCATE pg_catalog.pg_largeobject"),
    without_effect("vacuum everything", "VACUUM"),
    without_effect("analyze everything", "ANALYZE"),
    without_effect("cluster everything", "CLUSTER"),
    without_effect("listen", "LISTEN barnraise"),
    without_effect("notify", "NOTIFY barnraise, 'lies'"),
    without_effect("no limit of time", "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0"),
    without_effect("DO block", "DO 'BEGIN PERFORM 1; END'"),
)

CASES: tuple[Case, ...] = (*DEFINITIONS, *ROLES, *THE_SERVER)
