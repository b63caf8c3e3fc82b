-- What was measured is added up for every sixteen versions, so that a curve of a long run needs no more than their means.
-- The sixteen are added up anew each time: a measurement may be repeated, and what is no number counts for nothing.
CREATE FUNCTION ledger.tally_metric_v1() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    v_stretch CONSTANT bigint := NEW.version / 16;
BEGIN
    INSERT INTO ledger.metric_tallies (run_id, name, stretch, last_version, num_values, value_sum)
    SELECT NEW.run_id, NEW.name, v_stretch, coalesce(max(m.version), NEW.version), count(*), coalesce(sum(m.value), 0)
      FROM ledger.metrics m
     WHERE m.run_id = NEW.run_id AND m.version >= 16 * v_stretch AND m.version < 16 * (v_stretch + 1)
       AND m.name = NEW.name
       -- Not for the sake of infinity alone: sixteen of them must have a sum, or nothing would be merged any more.
       AND abs(m.value) < 1e300
    ON CONFLICT (run_id, name, stretch) DO UPDATE
       SET last_version = excluded.last_version, num_values = excluded.num_values, value_sum = excluded.value_sum;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION ledger.tally_metric_v1() FROM PUBLIC;

CREATE TRIGGER tally AFTER INSERT OR UPDATE OF value ON ledger.metrics
    FOR EACH ROW EXECUTE FUNCTION ledger.tally_metric_v1();
