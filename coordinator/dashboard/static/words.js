// Numbers, times and events in words. Everything here answers with plain text.

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const NOTHING = "–";

export const count = (number) => (number == null ? NOTHING : whole.format(number));

export function share(value) {
  if (value == null) return NOTHING;
  const percent = 100 * value;
  if (percent === 0 || percent >= 99.95) return `${percent.toFixed(0)}%`;
  return `${percent.toFixed(percent < 10 ? 1 : 0)}%`;
}

export function measure(value) {
  if (value == null) return NOTHING;
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 100000)) return value.toExponential(2);
  return value.toPrecision(4).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

export function rate(value) {
  if (value == null) return NOTHING;
  return value >= 10 ? count(value) : value.toPrecision(2);
}

export function bytes(number) {
  if (number == null) return NOTHING;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = number;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? size.toFixed(0) : size.toPrecision(3)} ${units[unit]}`;
}

export function duration(seconds) {
  if (seconds == null) return NOTHING;
  if (seconds < 0.0995) return `${(1000 * seconds).toFixed(0)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${seconds.toFixed(0)} s`;
  if (seconds < 90 * 60) return `${(seconds / 60).toFixed(0)} min`;
  if (seconds < 48 * 3600) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86400).toFixed(1)} days`;
}

export function time(iso) {
  if (!iso) return NOTHING;
  const at = new Date(iso);
  return Date.now() - at < 20 * 3600 * 1000 ? clock.format(at) : day.format(at);
}

export const STATES = {
  created: "not started yet",
  running: "running",
  paused: "paused",
  finished: "finished",
  failed: "failed",
};

export const MODES = {
  sync: "in rounds",
  async: "without waiting for anybody",
  local: "by local steps",
};

export function told(event) {
  const who = event.display_name || "somebody";
  const why = event.reason ? `: ${event.reason}` : "";
  switch (event.subject) {
    case "worker":
      return event.new_state === "joined"
        ? { text: `${who} joined`, kind: "good" }
        : { text: `${who} left${why}`, kind: "plain" };
    case "unit":
      return event.new_state === "failed"
        ? { text: `unit ${event.subject_id} failed for good${why}`, kind: "bad" }
        : { text: `unit ${event.subject_id} opens again${why}`, kind: "odd" };
    case "gradient":
      return { text: `a gradient of ${who} was refused${why}`, kind: "odd" };
    default:
      return { text: `the ${event.subject} is ${event.new_state}${why}`, kind: "strong" };
  }
}
