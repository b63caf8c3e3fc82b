-- The log and the record of merges may grow and be pruned from the old end, but a line that stands is never rewritten.
CREATE FUNCTION ledger.refuse_change_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'BR002', MESSAGE = format('a row of %s is never changed', TG_TABLE_NAME);
END
$$;
REVOKE ALL ON FUNCTION ledger.refuse_change_v1() FROM PUBLIC;

CREATE TRIGGER events_are_append_only BEFORE UPDATE ON ledger.events
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change_v1();
CREATE TRIGGER aggregations_are_append_only BEFORE UPDATE ON ledger.aggregations
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change_v1();
