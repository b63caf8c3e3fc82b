-- A merge is counted in its minute: once, whatever the number of its gradients.
CREATE FUNCTION ledger.tally_merge_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ledger.minute_tallies AS t (run_id, minute, num_units, num_samples)
    SELECT NEW.run_id, date_trunc('minute', NEW.created_at, 'UTC'), cardinality(NEW.gradient_ids),
           coalesce(sum(g.num_samples), 0)
      FROM ledger.gradients g WHERE g.id = ANY (NEW.gradient_ids)
    ON CONFLICT (run_id, minute) DO UPDATE
       SET num_units = t.num_units + excluded.num_units, num_samples = t.num_samples + excluded.num_samples;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION ledger.tally_merge_v1() FROM PUBLIC;

CREATE TRIGGER tally AFTER INSERT ON ledger.aggregations
    FOR EACH ROW EXECUTE FUNCTION ledger.tally_merge_v1();
