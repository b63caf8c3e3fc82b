-- One part of a version's weights, or of the delta that leads to it; NULL when it was pruned.
CREATE FUNCTION volunteer.fetch_part_v1(
    p_worker bigint, p_version bigint, p_part integer, p_kind text DEFAULT 'weights'
) RETURNS bytea
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_caller record;
BEGIN
    SELECT * INTO v_caller FROM ledger.authorise_v1(p_worker);
    -- What the optimizer remembers is nobody's business.
    RETURN (SELECT p.content FROM ledger.model_parts p
             WHERE p.run_id = v_caller.run_id AND p.version = p_version AND p.part = p_part
               AND p.kind = p_kind AND p_kind IN ('weights', 'delta'));
END
$$;
REVOKE ALL ON FUNCTION volunteer.fetch_part_v1(bigint, bigint, integer, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION volunteer.fetch_part_v1(bigint, bigint, integer, text) TO barnraise_volunteers;
