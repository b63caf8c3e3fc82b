"""The volunteers' functions with arguments they must not take."""

from __future__ import annotations

from tests.integration.hostile.case import (
    ALREADY_SUBMITTED,
    BAD_ARGUMENT,
    CLAIM,
    FENCE,
    FETCH_MANIFEST,
    FETCH_PART,
    FUNCTIONS,
    HEARTBEAT,
    JOIN,
    LEASE_LOST,
    LEAVE,
    NOT_FOUND,
    OVER_QUOTA,
    RELEASE,
    SUBMIT,
    UPLOAD_PART,
    Case,
    refused,
    without_effect,
)

_FENCED = (UPLOAD_PART, SUBMIT, RELEASE)
_OF_A_WORKER = (CLAIM, HEARTBEAT, FETCH_MANIFEST, FETCH_PART, UPLOAD_PART, SUBMIT, RELEASE, LEAVE)
_WRONG_WORKERS = {"neighbour's": "<their_worker>", "nobody's": "1000000000", "gone": "<gone_worker>", "-1": "-1"}


def _lease(kind: str) -> dict[str, str]:
    return {"unit": f"<{kind}_unit>", "attempt": f"<{kind}_attempt>", "token": f"'<{kind}_token>'"}


_WRONG_LEASES: dict[str, tuple[dict[str, str], str]] = {
    "neighbour's unit, attempt and token": (_lease("their"), LEASE_LOST),
    "neighbour's unit with my token": ({"unit": "<their_unit>"}, LEASE_LOST),
    "my unit with the neighbour's token": ({"token": "'<their_token>'"}, LEASE_LOST),
    "my unit with a made up token": ({"token": "gen_random_uuid()"}, LEASE_LOST),
    "an attempt too early": ({"attempt": "0"}, LEASE_LOST),
    "an attempt too late": ({"attempt": "<attempt> + 1"}, LEASE_LOST),
    "a negative attempt": ({"attempt": "-1"}, LEASE_LOST),
    "a stale attempt": (_lease("stale"), LEASE_LOST),
    "a released unit": (_lease("released"), LEASE_LOST),
    "a submitted unit": (_lease("submitted"), ALREADY_SUBMITTED),
    "a rejected unit": (_lease("rejected"), ALREADY_SUBMITTED),
    "a unit that is not": ({"unit": "<no_unit>"}, NOT_FOUND),
    "a negative unit": ({"unit": "-1"}, NOT_FOUND),
    "my other worker": ({"worker": "<idle_worker>"}, LEASE_LOST),
}
_TEXTS = {
    "empty": "''",
    "of 2000 characters": "repeat('x', 2000)",
    "with a line feed": "E'a\\nb'",
    "with an escape sequence": "E'\\u001b[2J'",
    "with a C1 control": "U&'\\009b2J'",
    "turned around": "U&'\\202emoor'",
}
_OBJECTS = {
    "of 20 kB": "jsonb_build_object('x', repeat('x', 20000))",
    "that compresses well": "jsonb_build_object('x', repeat('x', 1000000))",
    "with a number of 100,000 digits": "'{\"x\": 1e100000}'",
    "an array": "'[]'",
    "a text": "'\"x\"'",
    "JSON's null": "'null'",
}
_LOSSES = {
    "NaN as a text": '\'{"loss": "NaN"}\'',
    "Infinity as a text": '\'{"loss": "Infinity"}\'',
    "beyond all measure": "'{\"loss\": 1e400}'",
    "below all measure": "'{\"loss\": -1e31}'",
    "null": "'{\"loss\": null}'",
    "a text": '\'{"loss": "small"}\'',
    "an object": "'{\"loss\": {}}'",
    "a list": "'[0.5]'",
    "of 10,000 names": "(SELECT jsonb_object_agg(n::text, n) FROM generate_series(1, 10000) n)",
    "of 17 names": "(SELECT jsonb_object_agg(n::text, n) FROM generate_series(1, 17) n)",
    "of a long name": "jsonb_build_object(repeat('x', 2000), 1)",
    "of a name that moves the cursor": "jsonb_build_object(E'\\u001b[2J', 1)",
}

CASES: tuple[Case, ...] = (
    *(
        refused(f"{function.name}: NULL as {argument}", function.call(**{argument: "NULL"}), sqlstate)
        for function in FUNCTIONS
        for argument, sqlstate in function.refuses_null.items()
    ),
    *(
        refused(f"{function.name}: {whose} worker", function.call(worker=worker), NOT_FOUND)
        for function in _OF_A_WORKER
        for whose, worker in _WRONG_WORKERS.items()
    ),
    *(
        refused(
            f"{function.name}: the neighbour's lease with all that is known of it",
            function.call(worker="<their_worker>", **_lease("their")),
            NOT_FOUND,
        )
        for function in _FENCED
    ),
    *(
        refused(f"{function.name}: {what}", function.call(**changes), sqlstate)
        for function in _FENCED
        for what, (changes, sqlstate) in _WRONG_LEASES.items()
    ),
    *(refused(f"{function.name}: a token that is none", function.call(token="'x'"), "22P02") for function in _FENCED),
    *(
        refused(f"{function.name}: {argument} {kind}", function.call(**{argument: text}), BAD_ARGUMENT)
        for function, argument in (
            (JOIN, "name"),
            (JOIN, "host"),
            (JOIN, "device"),
            (HEARTBEAT, "phase"),
            (RELEASE, "reason"),
            (LEAVE, "reason"),
            (SUBMIT, "codec"),
        )
        for kind, text in _TEXTS.items()
    ),
    *(
        refused(f"join_v1: {argument} {kind}", JOIN.call(**{argument: value}), BAD_ARGUMENT)
        for argument in ("capabilities", "software")
        for kind, value in _OBJECTS.items()
    ),
    refused(
        "join_v1: JSON deeper than the stack",
        JOIN.call(software="(repeat('[', 1000000) || repeat(']', 1000000))::jsonb"),
        "54001",
    ),
    refused("join_v1: a run that is not", JOIN.call(run="'no such run'"), NOT_FOUND),
    refused("join_v1: a run's name of 1 MB", JOIN.call(run="repeat('x', 1000000)"), NOT_FOUND),
    refused("join_v1: a protocol of yesterday", JOIN.call(protocol="0"), "BR003"),
    refused("join_v1: a negative protocol", JOIN.call(protocol="-2147483648"), "BR003"),
    refused("join_v1: a protocol beyond integers", JOIN.call(protocol="10^10"), "42883"),
    refused(
        "heartbeat_v1: 100,000 units",
        HEARTBEAT.call(units="array_fill(1::bigint, ARRAY[100000])", attempts="array_fill(1, ARRAY[100000])"),
        BAD_ARGUMENT,
    ),
    refused("heartbeat_v1: more attempts than units", HEARTBEAT.call(attempts="ARRAY[1, 2]"), BAD_ARGUMENT),
    refused("heartbeat_v1: units in a square", HEARTBEAT.call(units="ARRAY[[1]]", attempts="ARRAY[[1]]"), BAD_ARGUMENT),
    refused("heartbeat_v1: a unit NULL", HEARTBEAT.call(units="ARRAY[NULL::bigint]"), BAD_ARGUMENT),
    refused("heartbeat_v1: an attempt NULL", HEARTBEAT.call(attempts="ARRAY[NULL::integer]"), BAD_ARGUMENT),
    *(
        refused(f"heartbeat_v1: {argument} {value}", HEARTBEAT.call(**{argument: value}), BAD_ARGUMENT)
        for argument in ("progress", "samples_per_second")
        for value in ("-1", "'NaN'", "'Infinity'", "1e13")
    ),
    refused("upload_part_v1: 17 MB", UPLOAD_PART.call(content="convert_to(repeat('x', 17825792), 'UTF8')"), OVER_QUOTA),
    refused(
        "upload_part_v1: a byte more than a part holds",
        UPLOAD_PART.call(content="convert_to(repeat('x', 4194305), 'UTF8')"),
        OVER_QUOTA,
    ),
    refused("upload_part_v1: nothing", UPLOAD_PART.call(content="''"), BAD_ARGUMENT),
    refused("upload_part_v1: part 10^9", UPLOAD_PART.call(part="1000000000"), BAD_ARGUMENT),
    refused("upload_part_v1: part -1", UPLOAD_PART.call(part="-1"), BAD_ARGUMENT),
    refused("upload_part_v1: part beyond integers", UPLOAD_PART.call(part="10^10"), "42883"),
    *(
        refused(f"submit_v1: {count} samples", SUBMIT.call(num_samples=count), BAD_ARGUMENT)
        for count in ("-1", "0", "11", "9223372036854775807")
    ),
    *(
        refused(f"submit_v1: {count} parts", SUBMIT.call(num_parts=count), BAD_ARGUMENT)
        for count in ("-2147483648", "-1", "0", "2", "2147483647")
    ),
    *(
        refused(f"submit_v1: {count} bytes", SUBMIT.call(num_bytes=count), BAD_ARGUMENT)
        for count in ("-1", "0", "<num_bytes> - 1", "<num_bytes> + 1", "9223372036854775807")
    ),
    refused(
        "submit_v1: a last part of 17 MB",
        SUBMIT.call(last_part="convert_to(repeat('x', 17825792), 'UTF8')"),
        OVER_QUOTA,
    ),
    refused("submit_v1: a last part that leaves a gap", SUBMIT.call(num_parts="3", last_part="'x'"), BAD_ARGUMENT),
    refused("submit_v1: a last part not counted", SUBMIT.call(num_parts="2", last_part="'x'"), BAD_ARGUMENT),
    refused("submit_v1: an empty last part", SUBMIT.call(last_part="''"), BAD_ARGUMENT),
    *(
        refused(
            f"submit_v1: a sha256 of {size} bytes",
            SUBMIT.call(sha256=f"decode(repeat('ab', {size}), 'hex')"),
            BAD_ARGUMENT,
        )
        for size in (0, 31, 33, 1000000)
    ),
    *(refused(f"submit_v1: losses {kind}", SUBMIT.call(losses=value), BAD_ARGUMENT) for kind, value in _LOSSES.items()),
    refused("submit_v1: a bare NaN", SUBMIT.call(losses="'{\"loss\": NaN}'"), "22P02"),
    *(
        refused(f"submit_v1: a codec called {name!r}", SUBMIT.call(codec=f"$t${name}$t$"), BAD_ARGUMENT)
        for name in ("../../etc", "Pickle", "a b", "x'; DROP TABLE ledger.runs; --", "1st")
    ),
    without_effect("fetch_manifest_v1: a version that is not", FETCH_MANIFEST.call(version="1000000000")),
    without_effect("fetch_manifest_v1: NULL as version", FETCH_MANIFEST.call(version="NULL")),
    without_effect(
        "fetch_manifest_v1: a version to come, from far away", FETCH_MANIFEST.call(version="1", have="-1000000000")
    ),
    without_effect("fetch_part_v1: what the optimizer remembers", FETCH_PART.call(kind="'optimizer'")),
    without_effect("fetch_part_v1: NULL as kind", FETCH_PART.call(kind="NULL")),
    without_effect("fetch_part_v1: NULL as version", FETCH_PART.call(version="NULL")),
    without_effect("fetch_part_v1: NULL as part", FETCH_PART.call(part="NULL")),
    without_effect("fetch_part_v1: a part that is not", FETCH_PART.call(part="-1")),
    refused("a second statement in a text", JOIN.call(run="'x''; DROP SCHEMA ledger CASCADE; --'"), NOT_FOUND),
    refused(
        "functions of another path",
        f"SET search_path = pg_temp, public; {CLAIM.call(worker='<their_worker>')}",
        NOT_FOUND,
    ),
    refused("writes where none are allowed", f"BEGIN READ ONLY; {UPLOAD_PART.call(**FENCE)}", "25006"),
)
