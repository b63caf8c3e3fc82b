-- So that a volunteer's process can tell whether ledger and code belong together.
CREATE VIEW watch.schema_revision AS SELECT version_num AS revision FROM ledger.schema_version;
