// The view: controls, one sentence, and three linked panes drawn from a Run at a position.
// Position p means: the first p events have happened; event p - 1 is the current one.

const PALETTE = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#B8A800", "#7F5FA8"];
const SPEEDS = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const MESSAGE_KINDS = new Set([KIND.SEND, KIND.RECEIVE, KIND.CHANNEL_CLOSE, KIND.CLOSED_SEEN, KIND.PROCESS_START,
  KIND.PROCESS_EXIT, KIND.PROCESS_STOP, KIND.PROCESS_FAULT, KIND.DEADLOCK]);

// Icons are drawn: a font need not have them.
const icon = (path) => `<svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true"><path d="${path}"/></svg>`;
const ICONS = {
  start: icon("M2 2h2v12H2z M14 2v12L5 8z"), back: icon("M12 2h2v12h-2z M10 2v12L2 8z"),
  step: icon("M2 2h2v12H2z M6 2v12l8-6z"), play: icon("M3 2v12l11-6z"), pause: icon("M3 2h4v12H3z M9 2h4v12H9z"),
};

function escapeText(text) {
  return String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }[c]));
}

function clip(text, length) { return text.length > length ? text.slice(0, length - 1) + "…" : text; }

class View {
  constructor(root, run, hooks) {
    this.run = run;
    this.hooks = hooks;
    this.position = 0;
    this.playing = false;
    this.speed = 8;
    this.done = true;
    this.window = 64;
    this.hover = 0;
    this.pending = false;
    this.carry = 0;
    this.colours = new Map();
    root.classList.add("singlab-view");
    root.innerHTML = `
      <div class="sl-bar" role="toolbar" aria-label="Playback">
        <button data-act="start" data-testid="sl-start" title="To the start (Home)" aria-label="To the start">${ICONS.start}</button>
        <button data-act="back" data-testid="sl-back" title="Step back (left arrow)" aria-label="Step back">${ICONS.back}</button>
        <button data-act="play" data-testid="sl-play" class="sl-main" title="Play or pause (space)" aria-label="Play">${ICONS.play} Play</button>
        <button data-act="step" data-testid="sl-step" title="Step one event (right arrow)" aria-label="Step">${ICONS.step}</button>
        <input type="range" min="0" max="0" value="0" step="1" data-testid="sl-seek" aria-label="Position">
        <label class="sl-speed"><span></span><input type="range" min="0" max="${SPEEDS.length - 1}" value="3" data-testid="sl-speed" aria-label="Speed"></label>
      </div>
      <div class="sl-now"><span class="sl-count"></span><span class="sl-sentence" role="status" aria-live="polite" data-testid="sl-sentence"></span></div>
      <div class="sl-legend"></div>
      <section class="sl-pane sl-threads"><h4>Threads<small>who runs, by event</small>
        <span class="sl-zoom"><button data-act="out" title="Show more events" aria-label="Zoom out">−</button><button data-act="in" title="Show fewer events" aria-label="Zoom in">+</button></span></h4><svg data-testid="sl-threads"></svg></section>
      <div class="sl-two">
        <section class="sl-pane sl-memory"><h4>Memory<small>coloured by owner</small></h4><svg data-testid="sl-memory"></svg><table class="sl-holds"></table></section>
        <section class="sl-pane sl-messages"><h4>Messages<small>time runs down</small></h4><svg data-testid="sl-messages"></svg></section>
      </div>
      <section class="sl-pane sl-contracts" hidden><h4>Contracts<small>where each side stands: the client (Imp) left, the server (Exp) right</small></h4><div class="sl-channels" data-testid="sl-channels"></div></section>
      <div class="sl-tip" hidden></div>`;
    this.root = root;
    root.tabIndex = 0;
    this.$ = (selector) => root.querySelector(selector);
    this.contracts = new ContractsPane(this.$(".sl-channels"), this);
    this.seekBar = this.$("[data-testid=sl-seek]");
    root.addEventListener("click", (event) => this.click(event));
    this.seekBar.addEventListener("input", () => { this.pause(); this.seek(Number(this.seekBar.value)); });
    this.$("[data-testid=sl-speed]").addEventListener("input", (event) => { this.speed = SPEEDS[event.target.value]; this.hooks.changed(this); this.draw(); });
    root.addEventListener("keydown", (event) => this.key(event));
    root.addEventListener("mousemove", (event) => this.pointer(event));
    root.addEventListener("mouseleave", () => { this.$(".sl-tip").hidden = true; if (this.hover) { this.hover = 0; this.draw(); } });
    this.resizer = new ResizeObserver(() => this.draw());
    this.resizer.observe(root);
  }

  destroy() { this.resizer.disconnect(); this.playing = false; }

  // ---- playing -------------------------------------------------------------------------------------

  seek(position) {
    this.position = Math.max(0, Math.min(this.run.length, Math.round(position)));
    this.hooks.changed(this);
    this.draw();
  }

  step() {
    if (this.position < this.run.length) this.seek(this.position + 1);
    else if (!this.done) { this.wanted = this.position + 1; this.hooks.need(1); }
  }

  play() {
    if (this.playing) return;
    if (this.done && this.position >= this.run.length) this.position = 0;
    this.playing = true;
    this.last = null;
    this.hooks.changed(this);
    this.draw();
    requestAnimationFrame((now) => this.tick(now));
  }

  pause() { if (this.playing) { this.playing = false; this.hooks.changed(this); this.draw(); } }

  tick(now) {
    if (!this.playing) return;
    if (this.last !== null) this.carry += Math.min(0.25, (now - this.last) / 1000) * this.speed;
    this.last = now;
    const steps = Math.floor(this.carry);
    this.carry -= steps;
    if (steps > 0) {
      const ahead = this.run.length - this.position;
      if (!this.done && ahead < Math.max(8, this.speed)) this.hooks.need(Math.max(16, 2 * this.speed));
      this.position = Math.min(this.run.length, this.position + steps);
      if (this.done && this.position >= this.run.length) this.playing = false;
      this.hooks.changed(this);
      this.draw();
    }
    requestAnimationFrame((then) => this.tick(then));
  }

  // New events have come, or the source has ended.
  grown(done) {
    this.done = done;
    if (this.wanted && this.wanted <= this.run.length) { const to = this.wanted; this.wanted = 0; this.seek(to); }
    else if (this.wanted && done) this.wanted = 0;
    this.draw();
  }

  // ---- input ---------------------------------------------------------------------------------------

  click(event) {
    const act = event.target.closest("[data-act]");
    if (act) {
      this.root.focus({ preventScroll: true });
      const name = act.dataset.act;
      if (name === "play") this.playing ? this.pause() : this.play();
      else if (name === "in" || name === "out") { this.window = Math.max(16, Math.min(1024, name === "in" ? this.window / 2 : this.window * 2)); this.draw(); }
      else { this.pause(); if (name === "start") this.seek(0); else if (name === "back") this.seek(this.position - 1); else this.step(); }
      return;
    }
    const mark = event.target.closest("[data-event]");
    if (mark) { this.pause(); this.seek(Number(mark.dataset.event) + 1); }
  }

  key(event) {
    if (event.target.tagName === "INPUT") return;
    const moves = { ArrowRight: () => this.step(), ArrowLeft: () => this.seek(this.position - 1), Home: () => this.seek(0),
      End: () => this.seek(this.run.length), " ": () => (this.playing ? this.pause() : this.play()) };
    if (!moves[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key !== " ") this.pause();
    moves[event.key]();
  }

  pointer(event) {
    const mark = event.target.closest ? event.target.closest("[data-tip]") : null;
    const owner = event.target.closest ? event.target.closest("[data-process]") : null;
    const tip = this.$(".sl-tip");
    tip.hidden = !mark;
    if (mark) {
      tip.textContent = mark.dataset.tip;
      const box = this.root.getBoundingClientRect();
      tip.style.left = Math.min(event.clientX - box.left + 12, box.width - tip.offsetWidth - 8) + "px";
      tip.style.top = event.clientY - box.top + 16 + "px";
    }
    const hover = owner ? Number(owner.dataset.process) : 0;
    if (hover !== this.hover) { this.hover = hover; this.draw(); }
  }

  // ---- drawing -------------------------------------------------------------------------------------

  draw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.paint(); });
  }

  colour(process) {
    if (process === 1) return "var(--sl-kernel)";
    if (!this.colours.has(process)) this.colours.set(process, PALETTE[this.colours.size % PALETTE.length]);
    return this.colours.get(process);
  }

  dim(process) { return this.hover && this.hover !== process ? 0.25 : 1; }

  paint() {
    const { run, position } = this;
    this.run.processes().forEach((process) => this.colour(process));
    const state = run.stateAt(position);
    const play = this.$("[data-act=play]");
    if (this.shown !== this.playing) play.innerHTML = this.playing ? `${ICONS.pause} Pause` : `${ICONS.play} Play`;
    this.shown = this.playing;
    play.setAttribute("aria-label", this.playing ? "Pause" : "Play");
    this.seekBar.max = run.length;
    this.seekBar.value = position;
    this.$(".sl-speed span").textContent = `${this.speed} events/s`;
    this.$(".sl-count").textContent = `${position} / ${run.length}${this.done ? "" : "+"}`;
    const sentence = this.$(".sl-sentence");
    const hz = run.meta.clock_hz || 1e9;
    const text = position ? run.describe(position - 1) : "before the first event: press play, or step";
    sentence.textContent = position ? `${text} · cycle ${state.cycle.toLocaleString("en")} (${(state.cycle / hz * 1e6).toFixed(1)} µs)` : text;
    sentence.dataset.position = position;
    this.$(".sl-legend").innerHTML = [...run.processes().map((p) => [p, run.name(p)]), [1, "kernel"]].map(([p, name]) =>
      `<span data-process="${p}" style="opacity:${this.dim(p)}"><i style="background:${this.colour(p)}"></i>${escapeText(name)}${state.ended.has(p) ? ` <em>${state.ended.get(p)}</em>` : ""}</span>`).join("");
    this.paintThreads(state);
    this.paintMemory(state);
    this.paintMessages(state);
    this.contracts.paint(state);
  }

  size(svg, height) {
    const width = Math.max(200, svg.clientWidth || svg.parentElement.clientWidth - 24);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    return width;
  }

  paintThreads(state) {
    const svg = this.$(".sl-threads svg"), run = this.run;
    const threads = run.threads();
    const row = 26, top = 6, left = 112, axis = 22;
    const height = top + Math.max(1, threads.length) * row + axis;
    const width = this.size(svg, height);
    const count = this.window;
    const first = Math.max(0, Math.min(this.position - Math.round(count * 0.7), run.length - count));
    const x = (index) => left + ((index - first) / count) * (width - left - 10);
    const out = [`<defs><pattern id="sl-wait" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><line x1="0" y1="0" x2="0" y2="6" class="sl-hatch"/></pattern></defs>`];
    threads.forEach(({ thread, process }, i) => {
      const y = top + i * row, colour = this.colour(process), fade = this.dim(process);
      out.push(`<g data-process="${process}" opacity="${fade}"><text x="${left - 10}" y="${y + 17}" text-anchor="end" class="sl-label${state.running === thread ? " sl-on" : ""}">${escapeText(clip(run.name(process), 14))}</text>`);
      out.push(`<line x1="${left}" x2="${width - 10}" y1="${y + 13}" y2="${y + 13}" class="sl-rule"/>`);
      for (const span of run.spans.get(thread) || []) {
        const end = span.endIndex === null ? run.length : span.endIndex;
        if (end < first || span.index > first + count || span.state === "gone") continue;
        const x0 = Math.max(left, x(span.index)), x1 = Math.min(width - 10, x(end));
        const future = span.index >= this.position ? 0.35 : 1;
        const tip = `${run.name(process)}: ${span.state}`;
        if (span.state === "running") out.push(`<rect data-event="${span.index}" data-tip="${escapeText(tip)}" x="${x0}" y="${y + 4}" width="${Math.max(2, x1 - x0)}" height="18" rx="3" fill="${colour}" opacity="${future}"/>`);
        else if (span.state === "ready") out.push(`<rect data-event="${span.index}" data-tip="${escapeText(tip)}" x="${x0}" y="${y + 9}" width="${Math.max(2, x1 - x0)}" height="8" rx="2" fill="${colour}" opacity="${0.45 * future}"/>`);
        else if (span.state === "blocked") out.push(`<rect data-event="${span.index}" data-tip="${escapeText(tip + ", waiting for a message")}" x="${x0}" y="${y + 9}" width="${Math.max(2, x1 - x0)}" height="8" rx="2" fill="url(#sl-wait)" opacity="${future}"/>`);
      }
      out.push("</g>");
    });
    const stepTicks = count / 8;
    for (let i = Math.ceil(first / stepTicks) * stepTicks; i <= first + count && i < run.length; i += stepTicks) {
      if (x(i) > width - 34) break;
      out.push(`<text x="${x(i)}" y="${height - 5}" text-anchor="middle" class="sl-tick">${run.events[i].cycle.toLocaleString("en")}</text>`);
    }
    out.push(`<text x="${left - 10}" y="${height - 5}" text-anchor="end" class="sl-tick">cycle</text>`);
    const px = x(Math.max(first, this.position));
    out.push(`<line x1="${px}" x2="${px}" y1="0" y2="${height - axis + 4}" class="sl-head"/>`);
    svg.innerHTML = out.join("");
  }

  paintMemory(state) {
    const svg = this.$(".sl-memory svg"), run = this.run;
    const width = svg.clientWidth || 300;
    // every page and block the run has used so far, at a fixed place, so that a change of owner is a change of colour
    if (this.seen === undefined || this.seen.at > run.length) this.seen = { at: 0, pages: new Set(), blocks: new Map() };
    for (; this.seen.at < run.length; this.seen.at++) {
      const e = run.events[this.seen.at];
      if (e.kind === KIND.PAGES_ALLOC && e.a > 0) for (let p = e.a; p < e.a + e.bLow; p++) this.seen.pages.add(p);
      if (e.kind === KIND.BLOCK_ALLOC) this.seen.blocks.set(e.a, Math.max(e.bLow, this.seen.blocks.get(e.a) || 0));
    }
    const pages = [...this.seen.pages].sort((a, b) => a - b);
    const cell = pages.length > 1200 ? 5 : pages.length > 300 ? 9 : pages.length > 60 ? 16 : 22, gap = cell > 8 ? 2 : 1;
    const columns = Math.max(1, Math.floor((width - 4) / (cell + gap)));
    const shown = pages.slice(0, 6000);
    const out = [`<text x="0" y="13" class="sl-label">pages of 4 KB used so far</text>`];
    shown.forEach((page, i) => {
      const tag = state.pages.get(page), owner = tag === undefined ? 0 : tag >>> 8;
      const x = (i % columns) * (cell + gap), y = 22 + Math.floor(i / columns) * (cell + gap);
      const tip = tag === undefined ? `page ${page}: free` : `page ${page}: ${run.name(owner)}, ${PAGE_TYPES[tag & 15] || "?"}`;
      out.push(`<rect data-tip="${escapeText(tip)}" ${owner > 1 ? `data-process="${owner}"` : ""} x="${x}" y="${y}" width="${cell}" height="${cell}" rx="2" ${tag === undefined ? 'class="sl-free"' : `fill="${this.colour(owner)}" opacity="${owner === 1 ? 0.45 : this.dim(owner)}"`}/>`);
    });
    let y = 22 + Math.ceil(shown.length / columns) * (cell + gap) + 22;
    out.push(`<text x="0" y="${y}" class="sl-label">exchange-heap blocks</text>`);
    y += 10;
    const all = [...this.seen.blocks.entries()].sort((a, b) => a[0] - b[0]);
    const blocks = all.filter(([address], i) => i < 24 || state.blocks.has(address)).slice(0, 36);
    const half = width > 420 ? 2 : 1, barWidth = (width - 4 - (half - 1) * 10) / half;
    blocks.forEach(([address, bytes], i) => {
      const live = state.blocks.get(address), bx = (i % half) * (barWidth + 10), by = y + Math.floor(i / half) * 30;
      const current = this.position && run.events[this.position - 1].kind >= KIND.BLOCK_ALLOC && run.events[this.position - 1].kind <= KIND.BLOCK_FREE && run.events[this.position - 1].a === address;
      const size = (live ? live.bytes : bytes);
      const label = live ? `${run.name(live.owner)} · ${size >= 1024 ? (size / 1024) + " KB" : size + " B"}` : "free";
      out.push(`<g data-tip="block at 0x${address.toString(16)}: ${escapeText(label)}" ${live ? `data-process="${live.owner}"` : ""}>
        <rect x="${bx + 1}" y="${by}" width="${barWidth}" height="24" rx="4" ${live ? `fill="${this.colour(live.owner)}" opacity="${this.dim(live.owner)}"` : 'class="sl-free"'} ${current ? 'stroke="var(--sl-ink)" stroke-width="2"' : ""}/>
        <text x="${bx + 10}" y="${by + 17}" class="${live ? "sl-onfill" : "sl-tick"}">${escapeText(clip(label, Math.floor(barWidth / 8.5)))}</text>
        <text x="${bx + barWidth - 8}" y="${by + 17}" text-anchor="end" class="${live ? "sl-onfill sl-mono" : "sl-tick sl-mono"}">${barWidth > 210 ? "…" + address.toString(16).slice(-6) : ""}</text></g>`);
    });
    if (!blocks.length) out.push(`<text x="0" y="${y + 14}" class="sl-tick">none yet</text>`);
    y += Math.max(1, Math.ceil(blocks.length / half)) * 30;
    if (all.length > blocks.length) { out.push(`<text x="0" y="${y + 12}" class="sl-tick">and ${all.length - blocks.length} more places</text>`); y += 18; }
    this.size(svg, y + 6);
    svg.innerHTML = out.join("");
    this.paintHoldings(state);
  }

  // What each process holds at this moment, as numbers: the same state the squares and bars show.
  paintHoldings(state) {
    const rows = this.run.processes().map((process) => ({ process, pages: 0, blocks: 0, bytes: 0 }));
    const of = new Map(rows.map((row) => [row.process, row]));
    for (const tag of state.pages.values()) if (of.has(tag >>> 8)) of.get(tag >>> 8).pages += 1;
    for (const block of state.blocks.values()) {
      if (of.has(block.owner)) { of.get(block.owner).blocks += 1; of.get(block.owner).bytes += block.bytes; }
    }
    const cell = (value) => `<td class="${value ? "" : "sl-none"}">${value.toLocaleString("en")}</td>`;
    this.$(".sl-holds").innerHTML = "<tr><th>holds now</th><th>pages</th><th>blocks</th><th>bytes</th></tr>" + rows.slice(0, 12).map((row) =>
      `<tr data-process="${row.process}" style="opacity:${this.dim(row.process)}"><td><i style="background:${this.colour(row.process)}"></i>${escapeText(clip(this.run.name(row.process), 16))}</td>${cell(row.pages)}${cell(row.blocks)}${cell(row.bytes)}</tr>`).join("");
  }

  paintMessages(state) {
    const svg = this.$(".sl-messages svg"), run = this.run;
    const lanes = run.processes();
    const row = 24, top = 30, rows = 15, height = top + rows * row + 10;
    const width = this.size(svg, height);
    const lane = (process) => { const i = lanes.indexOf(process); return (i + 0.5) * (width / Math.max(1, lanes.length)); };
    if (this.rows === undefined || this.rows.at > run.length) this.rows = { at: 0, list: [], of: new Map() };
    for (; this.rows.at < run.length; this.rows.at++) {
      if (MESSAGE_KINDS.has(run.events[this.rows.at].kind)) { this.rows.of.set(this.rows.at, this.rows.list.length); this.rows.list.push(this.rows.at); }
    }
    let current = 0;
    let low = 0, high = this.rows.list.length;
    while (low < high) { const middle = (low + high) >> 1; if (this.rows.list[middle] < this.position) low = middle + 1; else high = middle; }
    current = low;
    const firstRow = Math.max(0, current - Math.round(rows * 0.8));
    const y = (r) => top + (r - firstRow + 0.5) * row;
    const out = [`<defs><marker id="sl-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="context-stroke"/></marker></defs>`];
    for (const process of lanes) {
      const x = lane(process);
      out.push(`<g data-process="${process}" opacity="${this.dim(process)}"><line x1="${x}" x2="${x}" y1="${top - 4}" y2="${height}" stroke="${this.colour(process)}" stroke-width="2" opacity="0.55"/>
        <text x="${x}" y="16" text-anchor="middle" class="sl-label sl-on">${escapeText(clip(run.name(process), Math.max(6, Math.floor(width / lanes.length / 9))))}</text></g>`);
    }
    const done = (index) => (index < this.position ? 1 : 0.28);
    const last = Math.min(this.rows.list.length, firstRow + rows);
    const drawn = new Set();
    const arrowOf = (arrow) => {
      if (drawn.has(arrow)) return;
      drawn.add(arrow);
      const from = run.owner(arrow.from, arrow.channel, arrow.side);
      const to = run.owner(arrow.to === null ? run.length : arrow.to, arrow.channel, 1 - arrow.side);
      const y0 = y(this.rows.of.get(arrow.from)), arrived = arrow.to !== null && this.rows.of.has(arrow.to);
      const y1 = arrived ? y(this.rows.of.get(arrow.to)) : y0 + row * 0.8;
      const x0 = lane(from), x1 = lane(to), sign = Math.sign(x1 - x0) || 1, stop = arrived ? x1 - sign * 3 : x0 + (x1 - x0) * 0.55;
      const name = run.messageName(arrow.channel, arrow.message), width2 = arrow.block ? 3.5 : 1.6;
      const flying = arrow.from < this.position && (arrow.to === null || arrow.to >= this.position);
      out.push(`<g data-event="${arrow.from}" data-tip="${escapeText(run.name(from))} → ${escapeText(run.name(to))}: ${escapeText(name)}${arrow.block ? " (with a block)" : ""}" opacity="${done(arrow.from) * Math.max(this.dim(from), this.dim(to))}">
        <line x1="${x0}" y1="${y0}" x2="${stop}" y2="${y1}" stroke="${this.colour(from)}" stroke-width="${width2}" ${flying ? 'stroke-dasharray="6 4"' : ""} marker-end="url(#sl-tip)"/>
        <text x="${(x0 + x1) / 2}" y="${(y0 + y1) / 2 - 7}" text-anchor="middle" class="sl-message">${escapeText(name)}</text></g>`);
    };
    for (let r = firstRow; r < last; r++) {
      const index = this.rows.list[r], e = run.events[index];
      if (e.arrow) { arrowOf(e.arrow); continue; }
      if (e.kind === KIND.SEND || e.kind === KIND.RECEIVE) continue;
      const process = e.kind === KIND.CHANNEL_CLOSE ? run.owner(e.index, e.aLow, e.bLow)
        : e.kind === KIND.CLOSED_SEEN ? run.owner(e.index, e.aLow, e.aHigh >>> 24) : e.a;
      if (lanes.indexOf(process) < 0) continue;
      const what = { [KIND.CHANNEL_CLOSE]: "closes", [KIND.CLOSED_SEEN]: "sees ChannelClosed", [KIND.PROCESS_START]: "starts", [KIND.PROCESS_EXIT]: "ends", [KIND.PROCESS_STOP]: "is stopped", [KIND.PROCESS_FAULT]: "fault" }[e.kind] || "deadlock";
      const x = lane(process), right = x < width * 0.6;
      out.push(`<g data-event="${index}" data-tip="${escapeText(run.describe(index))}" opacity="${done(index) * this.dim(process)}"><circle cx="${x}" cy="${y(r)}" r="4.5" fill="${e.kind === KIND.PROCESS_FAULT || e.kind === KIND.PROCESS_STOP ? "#D55E00" : this.colour(process)}"/>
        <text x="${x + (right ? 11 : -11)}" y="${y(r) + 4}" text-anchor="${right ? "start" : "end"}" class="sl-tick">${what}</text></g>`);
    }
    const py = y(current) - row / 2;
    out.push(`<line x1="0" x2="${width}" y1="${py}" y2="${py}" class="sl-head"/>`);
    if (!this.rows.list.length) out.push(`<text x="${width / 2}" y="${top + 60}" text-anchor="middle" class="sl-tick" style="paint-order:stroke;stroke:var(--sl-paper);stroke-width:6px">no messages yet: press play</text>`);
    svg.innerHTML = out.join("");
  }
}
