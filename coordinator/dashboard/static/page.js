// The page of one run. What the server tells goes section by section to whoever draws it.

import { asTable, Curves, Several, Speed } from "./charts.js";
import { byId, element, say, show, table } from "./elements.js";
import { Live } from "./live.js";
import { Samples } from "./samples.js";
import { settle } from "./settings.js";
import * as tables from "./tables.js";
import { count, duration, MODES, NOTHING, rate, share, STATES, time } from "./words.js";

const LINES = {
  opening: ["connecting", ""],
  open: ["live", ""],
  lost: ["no connection", "This page has lost its server, and tries again by itself. What you see is as it was."],
  refused: ["not allowed", "This link is no longer good; ask for the new one."],
  gone: ["no such run", "This run is no longer in the ledger."],
};
const MANY_FOR_DOTS = 12;

class Page {
  constructor(run) {
    this.run = run;
    this.known = {};
    this.line = "opening";
    this.samples = new Samples(run);
    this.losses = new Curves(byId("loss-chart"), byId("loss-chart-legend"));
    this.measures = new Several(byId("measure-charts"));
    this.speed = new Speed(byId("speed-chart"));
    byId("log").addEventListener("change", () => this.drawLosses());
    settle(byId("theme"), byId("big"), () => this.restyle());
    this.live = new Live(run, {
      onNews: (sections) => this.take(sections),
      onLine: (line) => this.lineIs(line),
    });
    // "silent for 40 s" goes on when nobody says anything.
    setInterval(() => this.known.workers && tables.workers(this.known.workers, this.live.now()), 5000);
  }

  take(sections) {
    const { now, ...news } = sections;
    const before = this.known;
    this.known = { ...before, ...news };
    if (news.run) this.drawProgress(before.run);
    if (news.losses) this.drawLosses();
    if (news.samples || news.run) this.drawSamples();
    if (news.workers || news.run) tables.workers(this.known.workers, this.live.now());
    if (news.leaderboard) tables.leaders(news.leaderboard);
    if (news.acceptance) tables.fate(news.acceptance);
    if (news.bytes) tables.traffic(news.bytes);
    if (news.throughput) this.drawSpeed();
    if (news.timings) tables.steps(news.timings);
    if (news.stalled_units || news.suspects) tables.attention(this.known.stalled_units || [], this.known.suspects || []);
    if (news.events) tables.events(news.events);
    if (news.link) this.notice();
  }

  drawProgress(before) {
    const run = this.known.run;
    const { num_gradients_per_update: wanted, share_done: done } = run;
    say("run-name", run.run);
    say("run-what", `${run.workload}, ${MODES[run.mode] || run.mode}`);
    say("state", STATES[run.state] || run.state);
    byId("state").dataset.state = run.state;
    say("version", count(run.head_version));
    byId("bar").value = done ?? 0;
    const epoch = Math.min(run.num_epochs, Math.floor((done ?? 0) * run.num_epochs) + 1);
    say("done", done == null ? "" : `${share(done)}, epoch ${count(epoch)} of ${count(run.num_epochs)}`);
    say("eta", run.eta_seconds == null || run.state !== "running" ? "" : `about ${duration(run.eta_seconds)} to go`);
    say("here", count(run.num_workers));
    say("speed-now", run.state === "running" ? rate(run.samples_per_second) : NOTHING);
    say("merged", count(run.num_merged));
    const landed = Math.min(run.num_submitted, wanted);
    const isOver = run.state === "finished" || run.state === "failed";
    say("dots", isOver || wanted > MANY_FOR_DOTS ? "" : "●".repeat(landed) + "○".repeat(wanted - landed));
    say("landed", isOver ? NOTHING : `${count(landed)} of ${count(wanted)}`);
    document.title = `${run.run}: version ${count(run.head_version)}`;
    if (before && before.state !== run.state) {
      say("said", `The run is ${STATES[run.state] || run.state}${run.state_reason ? `: ${run.state_reason}` : ""}.`);
    }
    this.notice();
  }

  drawLosses() {
    const all = (this.known.losses || []).filter((curve) => curve.values.length);
    const losses = all.filter((curve) => curve.name.startsWith("loss"));
    const others = all.filter((curve) => !curve.name.startsWith("loss"));
    say("losses-empty", losses.length ? "" : "No version has been merged yet; the first curve begins with it.");
    show("loss-table-of", losses.length > 0);
    if (losses.length) {
      const named = this.losses.show(losses, { logarithmic: byId("log").checked });
      byId("loss-table").replaceChildren(asTable("Losses by version", named));
    } else this.losses.clear();
    show("measures", others.length > 0);
    document.body.dataset.measures = others.length ? "some" : "none";
    if (others.length) {
      const named = this.measures.show(others);
      byId("measure-table").replaceChildren(asTable("Measured by version", named));
    }
  }

  drawSamples() {
    const { samples = [], run } = this.known;
    // Only its first sample tells a model that draws or writes from one that judges. By then it has made one.
    const madeNothing = run && run.optimizer_step > 30 ? "This model makes nothing to look at." : "There is nothing to look at so far.";
    document.body.dataset.makes = samples.length ? "something" : "nothing";
    say("samples-empty", samples.length ? "" : madeNothing);
    this.samples.take(samples);
  }

  drawSpeed() {
    const { steps, seconds_each: each } = this.known.throughput;
    const isEnough = steps.length > 1;
    say("speed-empty", isEnough ? "" : "Two full minutes with merges make the first line.");
    show("speed-table-of", isEnough);
    if (!isEnough) {
      this.speed.clear();
      return;
    }
    this.speed.show(steps, each);
    byId("speed-table").replaceChildren(
      table(
        `The last steps of ${duration(each)} each`,
        ["from", "units", "samples per second"],
        steps.slice(-12).map((one) => [time(one.at), count(one.num_units), rate(one.samples_per_second)]),
      ),
    );
  }

  restyle() {
    for (const chart of [this.losses, this.measures, this.speed]) chart.restyle();
  }

  lineIs(line) {
    if (line === this.line) return;
    const was = this.line;
    this.line = line;
    byId("line").dataset.line = line;
    say("line-words", LINES[line][0]);
    this.notice();
    if (line === "open" && was !== "opening") say("said", "Connected again.");
  }

  // The one most urgent thing to know, above everything else.
  notice() {
    const { link, run } = this.known;
    let words = LINES[this.line][1];
    let kind = "bad";
    if (!words && link && link.database === "away") {
      words = `The database has been away since ${time(link.since)}; this page goes on by itself when it is back. (${link.problem})`;
    } else if (!words && run && run.state === "paused") {
      [words, kind] = [`The run is paused${run.state_reason ? `: ${run.state_reason}` : ""}. Workers wait.`, "odd"];
    } else if (!words && run && run.state === "failed") {
      words = `The run failed${run.state_reason ? `: ${run.state_reason}` : ""}.`;
    } else if (!words && run && run.state === "running" && run.leading && !run.leading.is_leading) {
      [words, kind] = ["No coordinator leads this run at present: nothing is handed out or merged until somebody runs “coordinator start”.", "odd"];
    }
    const place = byId("notice");
    place.hidden = !words;
    place.dataset.kind = kind;
    if (words !== place.textContent) {
      place.textContent = words;
      if (words) say("said", words);
      else if (link) say("said", "All is well again.");
    }
  }
}

function choose(runs, chosen) {
  const list = byId("runs");
  show("chooser", runs.length > 1);
  list.replaceChildren(
    ...runs.map((run) => element("option", { value: run.run }, `${run.run} (${STATES[run.state] || run.state})`)),
  );
  list.value = chosen;
  list.addEventListener("change", () => {
    const address = new URL(location.href);
    address.searchParams.set("run", list.value);
    location.assign(address);
  });
}

async function begin() {
  try {
    const answer = await fetch("/api/runs", { cache: "no-store" });
    if (answer.ok) {
      const { runs, chosen } = await answer.json();
      const wanted = new URLSearchParams(location.search).get("run") || chosen;
      if (wanted) {
        choose(runs, wanted);
        new Page(wanted);
        return;
      }
      say("run-name", "No run yet");
      say("run-what", "There is no run in this ledger; “coordinator start” makes one.");
      show("notice", false);
    } else if (answer.status === 401) location.reload();
    else {
      const { error } = await answer.json();
      byId("notice").textContent = `${error} This page tries again by itself.`;
      show("notice", true);
    }
  } catch {
    byId("notice").textContent = LINES.lost[1];
    show("notice", true);
  }
  setTimeout(begin, 2000);
}

begin();
