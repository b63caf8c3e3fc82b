-- One part of a version's weights; NULL when it was pruned.
CREATE FUNCTION volunteer.fetch_part_v1(p_worker bigint, p_version bigint, p_part integer) RETURNS bytea
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    v_caller record;
BEGIN
    SELECT * INTO v_caller FROM ledger.authorise_v1(p_worker);
    RETURN (SELECT p.content FROM ledger.model_parts p
             WHERE p.run_id = v_caller.run_id AND p.version = p_version AND p.kind = 'weights' AND p.part = p_part);
END
$$;
REVOKE ALL ON FUNCTION volunteer.fetch_part_v1(bigint, bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION volunteer.fetch_part_v1(bigint, bigint, integer) TO barnraise_volunteers;
