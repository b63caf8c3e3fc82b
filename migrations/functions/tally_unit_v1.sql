-- A unit is over: it is counted in its epoch. The guard of units calls this, once in a unit's life, since no edge leads
-- from there; and not a trigger of its own, which every claim would have to be asked about.
CREATE FUNCTION ledger.tally_unit_v1(p_unit ledger.work_units) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- What the coordinator ends shares sixteen rows. A unit that fails has a row of its own: a volunteer may fail it and
    -- keep the transaction open, and the next merge would wait for the row of both.
    INSERT INTO ledger.unit_tallies AS t (
        run_id, epoch, lane, num_merged, num_cancelled, num_failed, num_begun, num_samples_merged, num_samples_failed)
    VALUES (
        p_unit.run_id, p_unit.epoch, CASE p_unit.state WHEN 'failed' THEN 16 + p_unit.id ELSE p_unit.id % 16 END,
        (p_unit.state = 'merged')::integer, (p_unit.state = 'cancelled')::integer, (p_unit.state = 'failed')::integer,
        p_unit.attempt, CASE p_unit.state WHEN 'merged' THEN p_unit.num_samples ELSE 0 END,
        CASE p_unit.state WHEN 'failed' THEN p_unit.num_samples ELSE 0 END)
    ON CONFLICT (run_id, epoch, lane) DO UPDATE
       SET num_merged = t.num_merged + excluded.num_merged, num_cancelled = t.num_cancelled + excluded.num_cancelled,
           num_begun = t.num_begun + excluded.num_begun,
           num_samples_merged = t.num_samples_merged + excluded.num_samples_merged;
END
$$;
REVOKE ALL ON FUNCTION ledger.tally_unit_v1(ledger.work_units) FROM PUBLIC;
