// What the model made, from its first version to now: a slider through time that follows the newest until it is moved.

import { byId, say, show } from "./elements.js";
import { count, time } from "./words.js";

const STEP_MS = 450;

export class Samples {
  constructor(run) {
    this.run = run;
    this.list = [];
    this.at = -1;
    this.follows = true;
    this.shown = null;
    this.slider = byId("slider");
    this.slider.addEventListener("input", () => {
      this.stop();
      this.at = Number(this.slider.value);
      this.follow(this.at === this.list.length - 1);
      this.draw();
    });
    byId("newest").addEventListener("click", () => {
      this.stop();
      this.follow(true);
      this.draw();
    });
    byId("play").addEventListener("click", () => (this.playing ? this.stop() : this.play()));
  }

  take(list) {
    this.list = list;
    show("through", list.length > 1);
    this.slider.max = String(Math.max(0, list.length - 1));
    if (this.follows) this.at = list.length - 1;
    this.at = Math.min(this.at, list.length - 1);
    this.draw();
  }

  follow(does) {
    this.follows = does;
    byId("newest").setAttribute("aria-pressed", String(does));
    if (does) this.at = this.list.length - 1;
  }

  play() {
    this.follow(false);
    if (this.at >= this.list.length - 1) this.at = -1;
    byId("play").textContent = "Stop";
    byId("play").setAttribute("aria-pressed", "true");
    const step = () => {
      this.at += 1;
      this.draw();
      if (this.at >= this.list.length - 1) {
        this.stop();
        this.follow(true);
      } else this.playing = setTimeout(step, STEP_MS);
    };
    this.playing = setTimeout(step, 0);
  }

  stop() {
    clearTimeout(this.playing);
    this.playing = null;
    byId("play").textContent = "Play";
    byId("play").setAttribute("aria-pressed", "false");
  }

  async draw() {
    const sample = this.list[this.at];
    this.slider.value = String(this.at);
    show("sample", Boolean(sample));
    if (!sample) return;
    const words = `version ${count(sample.version)}`;
    this.slider.setAttribute("aria-valuetext", `${words}, ${this.at + 1} of ${this.list.length}`);
    const address = this.address(sample);
    if (address === this.shown) return;
    this.shown = address;
    const isPicture = sample.media_type === "image/png";
    // What is on the screen stays there until the next one is here: a room sees growth, not flicker.
    const content = isPicture ? await picture(address) : await writing(address);
    if (this.shown !== address) return;
    if (content === null) {
      this.shown = null;
      return;
    }
    show("picture", isPicture);
    show("writing", !isPicture);
    if (isPicture) {
      const image = byId("picture");
      image.src = content.src;
      image.alt = `A grid of pictures that ${words} of the model drew`;
    } else say("writing", content);
    byId("picture").dataset.version = sample.version;
    say("sample-words", `${words}, ${time(sample.at)}${this.follows ? ", the newest" : ""}`);
    const next = this.list[this.at + 1];
    if (next && !this.follows && next.media_type === "image/png") new Image().src = this.address(next);
  }

  // The time makes the address new where a run of the same name begins anew.
  address(sample) {
    return `/api/runs/${encodeURIComponent(this.run)}/samples/${sample.version}?at=${encodeURIComponent(sample.at)}`;
  }
}

async function picture(address) {
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
    return image;
  } catch {
    return null;
  }
}

async function writing(address) {
  try {
    const answer = await fetch(address);
    return answer.ok ? await answer.text() : null;
  } catch {
    return null;
  }
}
