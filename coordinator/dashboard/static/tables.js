// Who takes part, what became of their work, and what happened.

import { byId, element, moment, say, show } from "./elements.js";
import { bytes, count, duration, measure, rate, share, time, told, NOTHING } from "./words.js";

const cell = (text, className = "") => element("td", { className }, text);

function fill(id, rows) {
  byId(id).tBodies[0].replaceChildren(...rows);
  show(id, rows.length > 0);
}

const dot = (kind) => element("span", { className: `dot ${kind}`, "aria-hidden": "true" });

export function workers(section, now) {
  const { num_present: here, num_silent: silent, num_gone: gone, shown } = section;
  const all = here + silent + gone;
  fill("workers-table", shown.map((worker) => workerRow(worker, now)));
  const others = [silent && `${count(silent)} silent`, gone && `${count(gone)} left`].filter(Boolean).join(", ");
  const more = all > shown.length ? `; the first ${count(shown.length)} are listed` : "";
  say("workers-caption", `${count(here)} here${others ? `, ${others}` : ""}${more}`);
  say("workers-empty", all ? "" : "Nobody is here yet. Volunteers run “worker join”.");
}

function workerRow(worker, now) {
  const [kind, does] = doing(worker, now);
  const computer = [worker.display_name, worker.volunteer].includes(worker.worker_name) ? null : worker.worker_name;
  return element(
    "tr",
    { className: worker.left_at ? "gone" : "" },
    element("th", { scope: "row" }, worker.display_name, computer ? element("span", { className: "aside" }, ` ${computer}`) : null),
    cell(worker.device || NOTHING, "wide"),
    element("td", { className: kind === "good" ? "whole" : "" }, dot(kind), ` ${does}`),
    cell(worker.left_at ? NOTHING : rate(worker.samples_per_second), "number wide"),
    cell(count(worker.num_merged), "number"),
    cell(share(worker.share_accepted), "number wide"),
  );
}

function doing(worker, now) {
  if (worker.left_at) return ["off", worker.left_reason ? `left: ${worker.left_reason}` : "left"];
  if (!worker.is_present) {
    const silence = worker.last_seen_at ? duration(Math.max(0, (now - Date.parse(worker.last_seen_at)) / 1000)) : "a while";
    return ["odd", `silent for ${silence}`];
  }
  // What it says of itself is as old as its last heartbeat; what it has in hand is known at once.
  return ["good", worker.phase === "waiting" && worker.num_units > 0 ? "computing" : worker.phase || "here"];
}

export function leaders(places) {
  const working = places.filter((place) => place.num_samples_merged > 0);
  fill("leaders-table", working.map(leaderRow));
  say("leaders-empty", working.length ? "" : "Nothing was merged yet; the first update brings the first names.");
}

function leaderRow(place) {
  return element(
    "tr",
    {},
    cell(count(place.place), "number"),
    element(
      "th",
      { scope: "row" },
      dot(place.is_present ? "good" : "off"),
      ` ${place.display_name}`,
      element("span", { className: "unseen" }, place.is_present ? " (here)" : " (away)"),
    ),
    cell(count(place.num_samples_merged), "number"),
    cell(share(place.share_of_run), "number"),
    cell(share(place.share_accepted), "number wide"),
  );
}

const FATES = [
  ["merged", "num_merged", "moved the model"],
  ["stale", "num_stale", "too stale"],
  ["late", "num_late", "late: the round was over"],
  ["refused", "num_refused", "refused for what it holds"],
];

export function fate(section) {
  const known = FATES.reduce((sum, [, key]) => sum + section[key], 0);
  show("fate-bar", known > 0);
  say("fate-empty", known ? "" : "No gradient has met its fate yet.");
  byId("fate-bar").replaceChildren(
    ...FATES.filter(([, key]) => section[key] > 0).map(([kind, key]) => {
      const part = element("span", { className: kind });
      part.style.flexGrow = String(section[key]);
      return part;
    }),
  );
  const rows = known
    ? FATES.map(([kind, key, words]) => pair(words, `${count(section[key])} (${share(section[key] / known)})`, kind))
    : [];
  if (section.mean_staleness != null) rows.push(pair("versions behind, on average", measure(section.mean_staleness)));
  byId("fate-list").replaceChildren(...rows);
}

export function traffic(section) {
  const { raw_bytes: raw, coded_bytes: coded, sent_bytes: sent } = section;
  say("traffic-empty", sent ? "" : "Nothing was sent yet.");
  const rows = sent
    ? [
        pair("with every value whole", bytes(raw)),
        pair("as the codec packs it", bytes(coded)),
        pair("sent, repeats included", bytes(sent)),
        raw > 1.05 * coded ? pair("smaller by the codec", `${measure(Number((raw / coded).toPrecision(2)))} times`) : null,
      ]
    : [];
  byId("traffic-list").replaceChildren(...rows.filter(Boolean));
}

function pair(name, value, kind) {
  const key = kind ? element("span", { className: `key ${kind}`, "aria-hidden": "true" }) : null;
  return element("div", {}, element("dt", {}, key, name), element("dd", {}, value));
}

const STEPS = { wait: "waits for a worker", compute: "is computed", upload: "goes up", merge: "waits for its merge" };

export function steps(timings) {
  say("way-empty", timings.length ? "" : "No unit has gone its whole way yet.");
  fill(
    "steps",
    timings.map((timing) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, STEPS[timing.step] || timing.step),
        cell(duration(timing.p50_seconds), "number"),
        cell(duration(timing.p95_seconds), "number"),
      ),
    ),
  );
}

export function attention(stalled, suspects) {
  const lines = [
    ...suspects.map((one) => `${one.volunteer} (${one.worker_name}): ${one.why}`),
    ...stalled.map(
      (one) =>
        `unit ${one.unit} of ${one.volunteer || "somebody"}: ${one.why}, for ${duration(one.seconds_silent ?? one.seconds_leased)}`,
    ),
  ];
  show("attention", lines.length > 0);
  byId("attention-list").replaceChildren(...lines.map((line) => element("li", {}, dot("odd"), element("span", {}, line))));
}

export function events(list) {
  say("events-empty", list.length ? "" : "Nothing has happened yet.");
  show("events-list", list.length > 0);
  byId("events-list").replaceChildren(
    ...list.map((event) => {
      const { text, kind } = told(event);
      return element("li", {}, moment(event.at, time(event.at)), element("span", { className: kind }, text));
    }),
  );
}

