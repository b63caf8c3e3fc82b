// Curves, drawn by uPlot; what they say in a sentence and in a table is beside them.

/* global uPlot */

import { element, table } from "./elements.js";
import { count, measure, rate } from "./words.js";

const ROWS = 12;
const DASH = [7, 5];
const MINUTES = [1, 2, 5, 10, 20, 30, 60, 120, 240, 360].map((minutes) => 60 * minutes);

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

function axis(font, more) {
  return {
    stroke: colour("--quiet"),
    font: `${font}px system-ui, sans-serif`,
    grid: { stroke: colour("--grid"), width: 1 },
    ticks: { show: false },
    ...more,
  };
}

// A chart that is drawn anew when what it shows has another form, and only filled when there is more of the same.
class Chart {
  constructor(place) {
    this.place = place;
    this.place.setAttribute("role", "img");
    this.form = null;
    new ResizeObserver(() => this.resize()).observe(this.place);
  }

  size() {
    return { width: Math.max(120, this.place.clientWidth), height: Math.max(80, this.place.clientHeight) };
  }

  resize() {
    const { width, height } = this.size();
    if (this.plot && (width !== this.plot.width || height !== this.plot.height)) this.plot.setSize({ width, height });
  }

  clear() {
    this.plot?.destroy();
    this.plot = null;
    this.form = null;
    this.place.classList.remove("filled");
  }

  // The colours and sizes of the page are the chart's as well.
  restyle() {
    if (!this.drawn) return;
    this.clear();
    this.draw(...this.drawn);
  }

  draw(form, data, options) {
    this.drawn = [form, data, options];
    if (form === this.form && this.plot) {
      this.plot.setData(data);
      return;
    }
    this.clear();
    this.form = form;
    this.place.classList.add("filled");
    this.plot = new uPlot({ ...options(), ...this.size() }, data, this.place);
  }
}

export class Curves extends Chart {
  constructor(place, legend) {
    super(place);
    this.legend = legend;
  }

  clear() {
    super.clear();
    this.legend.replaceChildren();
  }

  restyle() {
    super.restyle();
    if (this.plot) this.explain(null);
  }

  // `logarithmic` leaves out what is not above zero: it has no place there.
  show(curves, { logarithmic = false } = {}) {
    const named = curves.map((curve) => ({ ...curve, title: curve.held_out ? `${curve.name}, held out` : curve.name }));
    const data = uPlot.join(
      named.map((curve) => [
        curve.versions,
        logarithmic ? curve.values.map((value) => (value > 0 ? value : null)) : curve.values,
      ]),
    );
    this.named = named;
    const form = JSON.stringify([logarithmic, named.map((curve) => curve.title)]);
    this.draw(form, data, () => this.options(named, logarithmic));
    this.explain(null);
    this.place.setAttribute("aria-label", named.map(sentence).join(" "));
    return named;
  }

  options(named, logarithmic) {
    const font = Math.round(0.9 * rem());
    const values = (format) => (_, ticks) => ticks.map((tick) => (tick == null ? "" : format(tick)));
    const whole = (tick) => (Number.isInteger(tick) ? count(tick) : "");
    return {
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 0.6 * rem() } },
      scales: { x: { time: false }, y: logarithmic ? { distr: 3 } : {} },
      axes: [
        axis(font, { size: 2.2 * font, space: 5.5 * font, values: values(whole) }),
        axis(font, { size: 4.4 * font, space: 2.8 * font, values: values(measure) }),
      ],
      series: [{}, ...named.map((curve) => this.series(curve))],
      hooks: { setCursor: [(plot) => this.explain(plot.cursor.idx)] },
    };
  }

  series(curve) {
    const [stroke, isDashed] = this.look(curve);
    return {
      stroke: colour(stroke),
      width: Math.max(2, rem() / 8),
      dash: isDashed ? DASH : undefined,
      spanGaps: true,
      points: { show: curve.values.length < 2 },
    };
  }

  // Training and held-out data share a colour; the second one is dashed.
  look(curve) {
    const names = [...new Set(this.named.map((other) => other.name))];
    const hasTwin = this.named.some((other) => other.name === curve.name && other.held_out !== curve.held_out);
    return [`--curve-${1 + (names.indexOf(curve.name) % 6)}`, curve.held_out && hasTwin];
  }

  // What the curves are and where they stand: now, or at the version under the pointer.
  explain(place) {
    const at = place == null || !this.plot ? null : this.plot.data[0][place];
    const lines = this.named.map((curve, number) => {
      const [stroke, isDashed] = this.look(curve);
      const stripe = element("span", { className: isDashed ? "stripe dashed" : "stripe" });
      stripe.style.borderColor = `var(${stroke})`;
      const value = at == null ? curve.values.at(-1) : this.plot.data[1 + number][place];
      return element("li", {}, stripe, curve.title, element("strong", {}, measure(value)));
    });
    if (at != null) lines.push(element("li", { className: "quiet" }, `at version ${count(at)}`));
    this.legend.replaceChildren(...lines);
  }
}

// Things of different sizes do not share a scale: a small chart each.
export class Several {
  constructor(place) {
    this.place = place;
    this.charts = new Map();
  }

  show(curves) {
    const names = [...new Set(curves.map((curve) => curve.name))];
    for (const name of names) {
      if (!this.charts.has(name)) this.charts.set(name, this.add());
    }
    return names.flatMap((name) => this.charts.get(name).show(curves.filter((curve) => curve.name === name)));
  }

  add() {
    const chart = element("div", { className: "chart" });
    const legend = element("ul", { className: "legend", "aria-hidden": "true" });
    this.place.append(element("div", {}, chart, legend));
    return new Curves(chart, legend);
  }

  restyle() {
    for (const chart of this.charts.values()) chart.restyle();
  }
}

export class Speed extends Chart {
  show(steps, secondsEach) {
    const seconds = steps.map((step) => Date.parse(step.at) / 1000);
    const rates = steps.map((step) => step.samples_per_second);
    // Once more at the end, so that the last step has its length too.
    const all = [
      [...seconds, seconds.at(-1) + secondsEach],
      [...rates, rates.at(-1)],
    ];
    this.draw("speed", all, () => {
      const font = Math.round(0.9 * rem());
      return {
        legend: { show: false },
        cursor: { show: false },
        scales: { y: { range: (_, __, most) => [0, most * 1.1 || 1] } },
        axes: [
          axis(font, { size: 2.2 * font, space: 5 * font, incrs: MINUTES, values: (_, ticks) => ticks.map(hourAndMinute) }),
          axis(font, { size: 4.2 * font, space: 2.8 * font, values: (_, ticks) => ticks.map((tick) => count(tick)) }),
        ],
        series: [
          {},
          {
            stroke: colour("--curve-3"),
            fill: `${colour("--curve-3")}33`,
            width: Math.max(2, rem() / 9),
            paths: uPlot.paths.stepped({ align: 1 }),
            points: { show: false },
          },
        ],
      };
    });
    const most = Math.max(...rates);
    this.place.setAttribute(
      "aria-label",
      `Samples merged per second: ${rate(rates.at(-1))} of late, at most ${rate(most)}.`,
    );
  }
}

const hourAndMinute = (seconds) =>
  new Date(1000 * seconds).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

function sentence(curve) {
  const last = curve.values.length - 1;
  const least = curve.values.indexOf(Math.min(...curve.values));
  return (
    `${curve.title}: ${measure(curve.values[0])} at version ${count(curve.versions[0])}, ` +
    `${measure(curve.values[last])} at version ${count(curve.versions[last])}, ` +
    `least ${measure(curve.values[least])} at version ${count(curve.versions[least])}.`
  );
}

// A dozen lines from the whole way, the last one always among them.
export function asTable(caption, curves) {
  const versions = [...new Set(curves.flatMap((curve) => curve.versions))].sort((a, b) => a - b);
  const step = Math.max(1, Math.ceil(versions.length / ROWS));
  const chosen = versions.filter((_, place) => (versions.length - 1 - place) % step === 0);
  const value = (curve, version) => {
    const place = curve.versions.indexOf(version);
    return place < 0 ? "" : measure(curve.values[place]);
  };
  return table(
    caption,
    ["version", ...curves.map((curve) => curve.title)],
    chosen.map((version) => [count(version), ...curves.map((curve) => value(curve, version))]),
  );
}
