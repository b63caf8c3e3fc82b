// The line to the server: opened, watched, opened again. What arrives is a page's knowledge, section by section.

const SILENT_AFTER_MS = 45000;
const SAID_AFTER_MS = 2500;
const LONGEST_PAUSE_MS = 10000;

export class Live {
  // `onNews(sections)` with each arrival; `onLine(state)` with "open", "lost", "refused", "gone" or "crowded".
  constructor(run, { onNews, onLine }) {
    this.address = `/api/runs/${encodeURIComponent(run)}`;
    this.onNews = onNews;
    this.onLine = onLine;
    this.pause = 1000;
    this.lateBy = 0;
    document.addEventListener("visibilitychange", () => this.seen());
    this.open();
  }

  // The server's clock: a laptop's own may be minutes off.
  now() {
    return Date.now() - this.lateBy;
  }

  open() {
    clearTimeout(this.again);
    this.source = new EventSource(`${this.address}/live`);
    this.source.addEventListener("news", (message) => {
      const sections = JSON.parse(message.data);
      this.lateBy = Date.now() - Date.parse(sections.now);
      this.heard();
      this.onNews(sections);
    });
    this.source.addEventListener("still", () => this.heard());
    this.source.onerror = () => this.lost();
  }

  close() {
    clearTimeout(this.again);
    clearTimeout(this.silence);
    clearTimeout(this.saying);
    this.saying = null;
    this.source.close();
  }

  heard() {
    this.pause = 1000;
    clearTimeout(this.saying);
    this.saying = null;
    this.onLine("open");
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lost(), SILENT_AFTER_MS);
  }

  lost() {
    // A server that is started anew is back in a moment; that need not be said.
    this.saying ??= setTimeout(() => this.onLine("lost"), SAID_AFTER_MS);
    clearTimeout(this.silence);
    this.source.close();
    clearTimeout(this.again);
    this.again = setTimeout(() => this.ask(), this.pause);
    this.pause = Math.min(2 * this.pause, LONGEST_PAUSE_MS);
  }

  // An EventSource does not tell why it was refused.
  async ask() {
    try {
      const answer = await fetch(this.address, { cache: "no-store" });
      if (answer.status === 401 || answer.status === 421) this.settle("refused");
      else if (answer.status === 404) this.settle("gone");
      else if (answer.ok) this.open();
      else this.lost();
    } catch {
      this.lost();
    }
  }

  settle(state) {
    this.close();
    this.onLine(state);
  }

  // A tab that nobody sees takes no line: a browser has six of them for all its tabs.
  seen() {
    if (document.hidden) this.close();
    else this.open();
  }
}
