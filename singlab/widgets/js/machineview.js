// The machine view: panes whose contents come as HTML from the notebook's kernel, and the caches, drawn here.
// Numbers of 64 bits stay texts or BigInts: a double would round them.

const PANES = {
  code: "Code", registers: "Registers", cycles: "Where the cycles went", memory: "Memory", walk: "Page walk", caches: "Caches",
  tlbs: "Translation buffers", csrs: "Control and status registers",
};
const CACHES = { l1i: "L1I", l1d: "L1D", l2: "L2" };
const glyph = (path) => `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${path}"/></svg>`;
const GLYPHS = {
  reset: glyph("M2 2h2v12H2z M14 2v12L5 8z"), back: glyph("M12 2h2v12h-2z M10 2v12L2 8z"), step: glyph("M2 2h2v12H2z M6 2v12l8-6z"),
  run: glyph("M3 2v12l11-6z"), stop: glyph("M3 3h10v10H3z"),
};

// One cache as a grid: a box for each set, in it a cell for each way, the last used first.
class CacheGrid {
  constructor(root, name, shape, bytes, chosen) {
    this.name = name;
    this.sets = shape.sets;
    this.ways = shape.ways;
    this.words = new Uint32Array(this.sets * this.ways * 2);
    this.words.set(new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)).subarray(0, this.words.length));
    this.touched = new Set();
    this.selected = -1;
    this.pointed = -1;
    this.chosen = chosen;
    root.innerHTML = `<div class="sm-cachehead"><b>${CACHES[name]}</b><span></span></div>
      <canvas tabindex="0" role="img" data-testid="sm-${name}" aria-label="${CACHES[name]}: ${this.sets} sets of ${this.ways} ways; arrow keys choose a set"></canvas>`;
    this.note = root.querySelector("span");
    this.canvas = root.querySelector("canvas");
    this.canvas.addEventListener("click", (event) => { const set = this.setAt(event); if (set >= 0) this.chosen(name, set); });
    this.canvas.addEventListener("mousemove", (event) => this.tell(event));
    this.canvas.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns }[event.key];
      if (!move) return;
      event.preventDefault();
      this.chosen(name, Math.max(0, Math.min(this.sets - 1, Math.max(0, this.selected) + move)));
    });
  }

  update(buffer, touched) {
    if (buffer) {
      const data = new Uint32Array(buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength));
      const row = 1 + 2 * this.ways;
      for (let at = 0; at + row <= data.length; at += row) this.words.set(data.subarray(at + 1, at + row), data[at] * 2 * this.ways);
    }
    this.touched = new Set(touched);
  }

  setOf(address) { return Number((BigInt(address) >> 6n) % BigInt(this.sets)); }

  // Rows tall enough to see, cells near to square, the whole at most about 200 pixels high.
  layout(width) {
    const most = this.sets * this.ways > 4096 ? 216 : 176;
    let best = null;
    for (let columns = 1; columns <= this.sets && columns <= 256; columns *= 2) {
      const rows = Math.ceil(this.sets / columns), height = Math.min(22, Math.floor(most / rows)), box = width / columns;
      if (height < 3 || box < 4) continue;
      for (let across = this.ways; across >= 1; across = Math.floor(across / 2)) {
        const down = Math.ceil(this.ways / across), w = (box - 2) / across, h = (height - 2) / down;
        if (w < 1 || h < 1) continue;
        const score = Math.min(w, h * 5) * Math.min(h, w);
        if (!best || score > best.score) best = { score, columns, rows, height, box, across, down, w, h };
      }
    }
    return best || { columns: 64, rows: Math.ceil(this.sets / 64), height: 3, box: width / 64, across: this.ways, down: 1, w: 1, h: 2 };
  }

  setAt(event) {
    const r = this.canvas.getBoundingClientRect(), l = this.place;
    if (!l) return -1;
    const set = Math.floor((event.clientY - r.top) / l.height) * l.columns + Math.floor((event.clientX - r.left) / l.box);
    return set >= 0 && set < this.sets ? set : -1;
  }

  tell(event) {
    const set = this.setAt(event);
    if (set < 0) return;
    const lines = [];
    for (let way = 0; way < this.ways; way++) {
      const at = 2 * (set * this.ways + way);
      if (this.words[at + 1]) lines.push("0x" + (BigInt(this.words[at]) << 6n).toString(16) + (this.words[at + 1] === 2 ? " dirty" : ""));
    }
    this.canvas.title = `set ${set}: ${lines.length ? lines.slice(0, 8).join(", ") + (lines.length > 8 ? ", ..." : "") : "empty"}`;
  }

  draw(colours) {
    const width = this.canvas.clientWidth;
    if (!width) return;
    const l = this.place = this.layout(width), ratio = window.devicePixelRatio || 1, height = l.rows * l.height;
    this.columns = l.columns;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const g = this.canvas.getContext("2d");
    g.scale(ratio, ratio);
    const label = l.w > 84 && l.h > 12;
    g.font = "11px ui-monospace, Menlo, Consolas, monospace";
    g.textBaseline = "middle";
    for (let set = 0; set < this.sets; set++) {
      const x = (set % l.columns) * l.box, y = Math.floor(set / l.columns) * l.height, gap = l.box > 9 ? 1 : 0.5;
      for (let way = 0; way < this.ways; way++) {
        const at = 2 * (set * this.ways + way), state = this.words[at + 1];
        const cx = x + gap + (way % l.across) * l.w, cy = y + gap + Math.floor(way / l.across) * l.h;
        const inner = Math.min(1, l.w / 6, l.h / 6);
        g.globalAlpha = state ? 1 - 0.62 * (way / Math.max(1, this.ways - 1)) * (this.ways > 2 ? 1 : 0.7) : 1;
        g.fillStyle = [colours.empty, colours.clean, colours.dirty][state] || colours.empty;
        g.fillRect(cx, cy, l.w - inner, l.h - inner);
        if (label && state) {
          g.globalAlpha = 1;
          g.fillStyle = way && this.ways > 1 ? colours.ink : "#fff";
          g.fillText("0x" + (BigInt(this.words[at]) << 6n).toString(16), cx + 6, cy + (l.h - inner) / 2 + 0.5);
        }
      }
      g.globalAlpha = 1;
      if (this.touched.has(set)) this.outline(g, x, y, l, colours.touched, l.height < 16 ? 1 : 1.5);
    }
    for (const [set, colour, thick] of [[this.pointed, colours.ink, 1.5], [this.selected, colours.ink, 2]]) {
      if (set >= 0) this.outline(g, (set % l.columns) * l.box, Math.floor(set / l.columns) * l.height, l, colour, thick);
    }
  }

  outline(g, x, y, l, colour, thick) {
    g.strokeStyle = colour;
    g.lineWidth = thick;
    g.strokeRect(x + thick / 2, y + thick / 2, l.box - thick, l.height - thick);
  }
}

class MachinePanes {
  constructor(root, model, send) {
    this.root = root;
    this.model = model;
    this.send = send;
    this.look = { ...model.get("look") };
    this.opened = new Set(model.get("opened"));
    this.status = model.get("status");
    root.classList.add("singlab-view", "sm-view");
    const input = (name, title, hint) => `<input type="text" data-look="${name}" data-testid="sm-${name}" aria-label="${title}" title="${title}" placeholder="${hint}" spellcheck="false" autocomplete="off">`;
    const select = (name, title, choices) => `<select data-look="${name}" data-testid="sm-${name}" aria-label="${title}" title="${title}">${choices.map(([v, t]) => `<option value="${v}">${t}</option>`).join("")}</select>`;
    const tools = {
      memory: `${input("memory", "An address, a symbol or a register", "sp, main, 0x80000000")}${select("width", "Bytes of a word", [[1, "bytes"], [2, "2-byte words"], [4, "4-byte words"], [8, "8-byte words"]])}${select("space", "Which addresses", [["auto", "as the hart"], ["physical", "physical"], ["virtual", "virtual"]])}<button data-page="-1" title="Lower addresses" aria-label="Lower addresses">▲</button><button data-page="1" title="Higher addresses" aria-label="Higher addresses">▼</button>`,
      walk: `${input("walk", "A virtual address, a symbol or a register", "pc, sp, 0x4000")}${select("mode", "Privilege level", [["", "present mode"], ["U", "U mode"], ["S", "S mode"], ["M", "M mode"]])}`,
    };
    const pane = (name) => `<section class="sl-pane sm-${name}" data-pane="${name}"><h4><button class="sm-fold" aria-expanded="true"><i></i>${PANES[name]}</button><small></small></h4>
      <div class="sm-tools">${tools[name] || ""}</div>${name === "caches" ? `<div class="sm-legend"><span><i class="sm-c"></i>clean</span><span><i class="sm-d"></i>dirty</span><span><i class="sm-old"></i>paler: used longer ago</span><span><i class="sm-t"></i>changed by the last action</span><span class="sm-hint">click a set to see its lines; point at an address anywhere to see its set</span></div><div class="sm-grids"></div>` : ""}<div class="sm-body"></div></section>`;
    const harts = this.status.harts || 1;
    root.innerHTML = `<style></style>
      <div class="sl-bar" role="toolbar" aria-label="Run the machine">
        <button data-do="reset" data-testid="sm-reset" title="Back to where the view was opened">${GLYPHS.reset} Reset</button>
        <button data-do="back" data-testid="sm-back" title="One instruction back (left arrow)">${GLYPHS.back} Step back</button>
        <button data-do="step" data-testid="sm-step" class="sl-main" title="One instruction (right arrow)">${GLYPHS.step} Step</button>
        <label class="sm-times"><input type="text" inputmode="numeric" value="1" data-testid="sm-count" aria-label="Instructions in a step"><span>instructions</span></label>
        <span class="sm-to"><input type="text" inputmode="numeric" data-testid="sm-cycle" placeholder="cycle" aria-label="Cycle to run to"><button data-do="cycle" data-testid="sm-run-cycle">${GLYPHS.run} Run to cycle</button></span>
        <span class="sm-to"><input type="text" data-testid="sm-address" placeholder="main, 0x8000…" aria-label="Address or symbol to run to" spellcheck="false" autocomplete="off"><button data-do="address" data-testid="sm-run-address">${GLYPHS.run} Run to address</button></span>
        <button data-do="stop" data-testid="sm-stop" class="sm-stop" hidden>${GLYPHS.stop} Stop</button>
      </div>
      <div class="sm-line">${harts > 1 ? `<label class="sm-hart">${select("hart", "Which hart to see", [["", "the hart that goes on"], ...Array.from({ length: harts }, (_, n) => [String(n), `hart ${n}`])])}</label>` : ""}<div class="sm-now" role="status" aria-live="polite" data-testid="sm-status"></div></div>
      <div class="sm-panes"><div class="sm-column">${["code", "memory"].map(pane).join("")}</div>
        <div class="sm-column">${["registers", "csrs", "cycles", "walk", "tlbs"].map(pane).join("")}</div>${pane("caches")}</div>`;
    root.querySelector("style").textContent = model.get("sheet");
    root.tabIndex = 0;
    this.$ = (selector) => root.querySelector(selector);
    this.grids = Object.fromEntries(Object.keys(CACHES).map((name) => {
      const place = document.createElement("div");
      this.$(".sm-grids").appendChild(place);
      const view = model.get(name);
      const bytes = view instanceof DataView ? view : new DataView(view.buffer || view, view.byteOffset || 0, view.byteLength);
      return [name, new CacheGrid(place, name, model.get("shape")[name], bytes, (cache, set) => this.turn({ cache, set }))];
    }));
    for (const field of root.querySelectorAll("[data-look]")) {
      field.addEventListener("change", () => this.turn({ [field.dataset.look]: field.dataset.look === "width" ? Number(field.value) : field.value }));
    }
    this.fields(this.look);
    root.addEventListener("click", (event) => this.click(event));
    root.addEventListener("keydown", (event) => this.key(event));
    root.addEventListener("mouseover", (event) => this.point(event.target.closest("[data-address]")));
    this.resizer = new ResizeObserver(() => this.fit());
    this.resizer.observe(root);
    this.theme = new MutationObserver(() => this.drawCaches());
    this.theme.observe(document.body, { attributes: true });
    this.dark = window.matchMedia("(prefers-color-scheme: dark)");
    this.redraw = () => this.drawCaches();
    this.dark.addEventListener("change", this.redraw);
    this.show(model.get("panes"), this.status);
    this.fit();
  }

  destroy() { this.resizer.disconnect(); this.theme.disconnect(); this.dark.removeEventListener("change", this.redraw); }

  // What the panes look at, in their fields; one that is being edited is left alone.
  fields(look) {
    this.look = { ...look };
    for (const field of this.root.querySelectorAll("[data-look]")) if (field !== document.activeElement) field.value = look[field.dataset.look];
    this.drawCaches();
  }

  // ---- what comes ------------------------------------------------------------------------------------

  frame(content, buffers) {
    let at = 0;
    for (const cache of content.caches || []) {
      const buffer = cache.sets ? buffers[at++] : null;
      this.grids[cache.name].update(buffer, cache.touched);
    }
    this.show(content.panes || {}, content.status);
    if (content.caches) this.drawCaches();
  }

  show(panes, status) {
    for (const [name, pane] of Object.entries(panes)) {
      const section = this.$(`[data-pane=${name}]`), body = section.querySelector(".sm-body");
      section.querySelector("h4 small").textContent = pane.note;
      body.innerHTML = pane.html;
      if (pane.address) this.memoryAt = pane.address;
      for (const [cache, note] of Object.entries(pane.notes || {})) this.grids[cache].note.textContent = note;
      if (name === "code") this.follow(body);
    }
    for (const section of this.root.querySelectorAll("[data-pane]")) {
      const open = this.opened.has(section.dataset.pane);
      section.classList.toggle("sm-folded", !open);
      section.querySelector(".sm-fold").setAttribute("aria-expanded", open);
    }
    if (status) this.tellStatus(status);
  }

  // The line of pc stays in sight; the page itself does not scroll.
  follow(body) {
    const row = body.querySelector(".slv-pc");
    if (!row) return;
    const top = row.offsetTop, height = row.offsetHeight;
    if (top < body.scrollTop + height || top + 3 * height > body.scrollTop + body.clientHeight) body.scrollTop = top - body.clientHeight / 3;
  }

  tellStatus(status) {
    this.status = status;
    const line = this.$("[data-testid=sm-status]");
    line.replaceChildren();
    const add = (text, kind) => { const span = document.createElement("span"); span.className = kind; span.textContent = text; line.appendChild(span); };
    if (status.harts > 1) add(`hart ${status.hart} of ${status.harts}`, "sm-mode");
    add(`${status.mode} mode`, `sm-mode sm-mode-${status.mode}`);
    add(`pc ${status.pc}${status.name ? ` <${status.name}>` : ""}`, "sm-pc");
    add(`${status.instructions.toLocaleString("en")} instructions`, "sm-figure");
    add(`${status.cycles.toLocaleString("en")} cycles`, "sm-figure");
    if (status.running) add("running …", "sm-reason");
    else if (status.error) add(status.error, "sm-reason sm-error");
    else if (status.reason) add(status.reason, "sm-reason");
    line.dataset.position = status.position;
    line.dataset.running = status.running;
    this.$("[data-do=stop]").hidden = !status.running;
    for (const button of this.root.querySelectorAll("[data-do]")) {
      if (button.dataset.do !== "stop") button.disabled = status.running || (status.start && (button.dataset.do === "back" || button.dataset.do === "reset"));
    }
  }

  // ---- drawing -----------------------------------------------------------------------------------------

  fit() {
    const width = this.root.clientWidth;
    this.root.classList.toggle("sm-wide", width >= 960);
    this.root.classList.toggle("sm-narrow", width < 560);
    this.drawCaches();
  }

  drawCaches() {
    if (!this.opened.has("caches")) return;
    const style = getComputedStyle(this.root), of = (name) => style.getPropertyValue(name).trim();
    const colours = { empty: of("--sl-fill") || "#eef1f5", ink: of("--sl-ink") || "#1f2937", clean: "#2f8fce", dirty: "#E0790B", touched: "#CC79A7" };
    for (const [name, grid] of Object.entries(this.grids)) {
      grid.selected = name === this.look.cache ? this.look.set % grid.sets : -1;
      grid.draw(colours);
    }
  }

  // ---- input -----------------------------------------------------------------------------------------------

  turn(wish) {
    Object.assign(this.look, wish);
    this.send({ type: "look", ...wish });
    if ("set" in wish) this.drawCaches();
  }

  act(action) {
    const field = { step: "count", back: "count", cycle: "cycle", address: "address" }[action];
    const value = field ? this.$(`[data-testid=sm-${field}]`).value.trim() : null;
    if (action === "stop") this.send({ type: "stop" });
    else if (!this.status.running) this.send({ type: "do", action, value: value === "" ? null : value });
  }

  point(element) {
    const address = element && element.dataset.address;
    let changed = false;
    for (const grid of Object.values(this.grids)) {
      const set = address ? grid.setOf(address) : -1;
      changed = changed || set !== grid.pointed;
      grid.pointed = set;
    }
    if (changed) this.drawCaches();
  }

  click(event) {
    const button = event.target.closest("button"), address = event.target.closest(".sm-body [data-address]");
    if (button && button.dataset.do) this.act(button.dataset.do);
    else if (button && button.dataset.page && this.memoryAt) {
      const next = (BigInt(this.memoryAt) + 128n * BigInt(button.dataset.page) + (1n << 64n)) % (1n << 64n);
      this.lookAt("memory", "0x" + next.toString(16));
    } else if (button && button.classList.contains("sm-fold")) {
      const name = button.closest("[data-pane]").dataset.pane;
      if (!this.opened.delete(name)) this.opened.add(name);
      this.show({}, null);
      this.send({ type: "open", panes: [...this.opened] });
    } else if (address && !String(window.getSelection())) {
      const inWalk = event.target.closest("[data-pane=walk], [data-pane=tlbs]") && this.opened.has("walk");
      this.lookAt(inWalk && event.target.closest("[data-pane=tlbs]") ? "walk" : "memory", address.dataset.address);
    }
  }

  lookAt(name, address) {
    this.$(`[data-look=${name}]`).value = address;
    this.turn({ [name]: address });
  }

  key(event) {
    if (event.target.tagName === "INPUT") {
      if (event.key !== "Enter") return;
      const action = { "sm-cycle": "cycle", "sm-address": "address", "sm-count": "step" }[event.target.dataset.testid];
      if (action) { event.preventDefault(); this.act(action); }
      event.stopPropagation();
      return;
    }
    if (event.target !== this.root && event.target.tagName !== "BUTTON") return;
    const action = { ArrowRight: "step", ArrowLeft: "back" }[event.key];
    if (action && !(action === "back" && this.status.start)) { event.preventDefault(); event.stopPropagation(); this.act(action); }
  }
}

function render({ model, el }) {
  const root = document.createElement("div");
  el.appendChild(root);
  const view = new MachinePanes(root, model, (content) => model.send(content));
  const message = (content, buffers) => {
    if (content.type === "frame") view.frame(content, (buffers || []).map((b) => (b instanceof DataView ? b : new DataView(b.buffer || b, b.byteOffset || 0, b.byteLength))));
  };
  const turned = () => view.fields(model.get("look"));
  model.on("msg:custom", message);
  model.on("change:look", turned);
  model.send({ type: "ready" });
  return () => { model.off("msg:custom", message); model.off("change:look", turned); view.destroy(); };
}

export default { render };
