// The heap view: memory by address, objects and their references, types and roots, while a collection goes on.

const glyph = (path) => `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${path}"/></svg>`;
const GLYPHS = {
  first: glyph("M2 2h2v12H2z M14 2v12L5 8z"), back: glyph("M12 2h2v12h-2z M10 2v12L2 8z"), step: glyph("M2 2h2v12H2z M6 2v12l8-6z"),
  play: glyph("M3 2v12l11-6z"), pause: glyph("M3 2h4v12H3z M9 2h4v12H9z"), last: glyph("M12 2h2v12h-2z M2 2v12l9-6z"),
};
const STATES = ["not reached", "reached, references not followed yet", "reached, references followed", "gone"];
const CYCLE_STATES = ["white: not reached", "grey: reached, waits to be looked at", "black: looked at, or made behind the sweep", "gone"];
const STRETCHES = ["#56B4E9", "#0072B2", "#8a6fb3", "#009E73"], STRETCH_NAMES = ["the collector looks at roots", "looks at what waits", "sweeps", "the program runs"];
const COLOURS = ["white", "grey", "black", "gone"];
const AGES = ["#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"];
const MANY = 5000, GRAPH_MOST = 220, AROUND_MOST = 60, SPEAK_MOST = 80, PAGE_WORDS = 512;
const number = (n) => n.toLocaleString("en");

class HeapPanes {
  constructor(root, heap, data, told) {
    this.root = root;
    this.heap = heap;
    this.data = data;
    this.told = told;
    this.selected = -1;
    this.speed = 8;
    this.playing = false;
    this.colour = "state";
    this.cycle = heap.program.size > 0;
    root.classList.add("singlab-view", "sh-view");
    root.classList.toggle("sh-cycle", this.cycle);
    root.tabIndex = 0;
    const still = heap.length === 0;
    root.innerHTML = `
      <div class="sl-bar" role="toolbar" aria-label="Play the collection"${still ? " hidden" : ""}>
        <button data-do="first" data-testid="sh-first" title="To the beginning of the phase" aria-label="To the beginning of the phase">${GLYPHS.first}</button>
        <button data-do="back" data-testid="sh-back" title="One step back (left arrow)" aria-label="One step back">${GLYPHS.back}</button>
        <button data-do="play" data-testid="sh-play" class="sl-main">${GLYPHS.play} Play</button>
        <button data-do="step" data-testid="sh-step" title="One step (right arrow)" aria-label="One step">${GLYPHS.step}</button>
        <button data-do="last" data-testid="sh-last" title="To the next phase" aria-label="To the next phase">${GLYPHS.last}</button>
        <input type="range" min="0" max="${heap.length}" value="0" data-testid="sh-seek" aria-label="Steps that have happened">
        <label class="sl-speed"><span></span><input type="range" min="0" max="13" value="3" data-testid="sh-speed" aria-label="Steps a second"></label>
      </div>
      <div class="sh-time"${this.cycle ? "" : " hidden"}><canvas role="img" data-testid="sh-time" aria-label="Who is at work: the collector, in steps, and the program between them"></canvas>
        <div class="sl-legend">${STRETCH_NAMES.map((name, n) => `<span><i style="background:${STRETCHES[n]}"></i>${name}</span>`).join("")}</div></div>
      <div class="sl-now" role="status" aria-live="polite"><span class="sl-count" data-testid="sh-count"></span><span class="sh-who" data-testid="sh-who" hidden></span><span class="sl-sentence" data-testid="sh-sentence"></span></div>
      <div class="sl-legend" data-testid="sh-legend"></div>
      <div class="sl-pane sh-memory"><h4>Memory <small></small><span class="sh-colours" role="group" aria-label="Colour objects by">${["state", "age", "type"].map((c) => `<button data-colour="${c}" aria-pressed="${c === "state"}">${c}</button>`).join("")}</span></h4><div class="sh-spaces"></div></div>
      <div class="sl-two"><div class="sl-pane sh-graph"><h4>Objects <small></small></h4><div class="sh-draw"></div></div>
        <div class="sh-side"><div class="sl-pane sh-types"><h4>Types <small></small></h4><div></div></div>
        <div class="sl-pane sh-roots"><h4>Roots <small></small></h4><div class="sh-chips"></div></div></div></div>
      <div class="sl-tip" hidden></div>`;
    this.$ = (selector) => root.querySelector(selector);
    this.spaces = heap.about.spaces.map((space, n) => {
      const place = document.createElement("div");
      place.className = "sh-space";
      place.innerHTML = `<div class="sh-spacehead"><b></b><span></span></div><canvas role="img" data-testid="sh-space-${n}"></canvas>`;
      place.querySelector("b").textContent = space[0];
      this.$(".sh-spaces").appendChild(place);
      const canvas = place.querySelector("canvas");
      canvas.addEventListener("click", (event) => this.choose(this.objectAt(n, event)));
      canvas.addEventListener("mousemove", (event) => this.tell(event, this.objectAt(n, event)));
      canvas.addEventListener("mouseleave", () => this.tell(null, -1));
      return { space, place, canvas };
    });
    this.stretches = this.cycle ? heap.stretches() : [];
    this.$("[data-testid=sh-time]").addEventListener("click", (event) => {
      const r = event.currentTarget.getBoundingClientRect();
      this.pause();
      this.seek(Math.round((heap.length * (event.clientX - r.left)) / r.width));
    });
    root.addEventListener("click", (event) => this.click(event));
    root.addEventListener("keydown", (event) => this.key(event));
    this.$("[data-testid=sh-seek]").addEventListener("input", (event) => { this.pause(); this.seek(Number(event.target.value)); });
    this.$("[data-testid=sh-speed]").addEventListener("input", (event) => { this.setSpeed(2 ** Number(event.target.value)); this.told(this); });
    this.resizer = new ResizeObserver(() => this.draw());
    this.resizer.observe(root);
    this.theme = new MutationObserver(() => this.draw());
    this.theme.observe(document.body, { attributes: true });
    this.setSpeed(this.speed);
  }

  destroy() { this.pause(); this.resizer.disconnect(); this.theme.disconnect(); }

  // ---- moving ------------------------------------------------------------------------------------------

  setSpeed(speed) {
    this.speed = Math.max(1, speed);
    this.$(".sl-speed span").textContent = `${number(this.speed)} steps a second`;
    this.$("[data-testid=sh-speed]").value = Math.round(Math.log2(this.speed));
  }

  seek(position) { this.heap.seek(position); this.draw(); this.told(this); }

  play() {
    if (this.playing || !this.heap.length) return;
    if (this.heap.position >= this.heap.length) this.heap.seek(0);
    this.playing = true;
    let last = performance.now(), owed = 0;
    const tick = (now) => {
      if (!this.playing) return;
      owed += (now - last) * this.speed / 1000;
      last = now;
      if (owed >= 1) {
        this.heap.seek(this.heap.position + Math.floor(owed));
        owed -= Math.floor(owed);
        if (this.heap.position >= this.heap.length) this.playing = false;
        this.draw();
        this.told(this);
      }
      if (this.playing) this.frame = requestAnimationFrame(tick);
    };
    this.frame = requestAnimationFrame(tick);
    this.draw();
    this.told(this);
  }

  pause() { this.playing = false; cancelAnimationFrame(this.frame); }

  act(what) {
    if (what === "play") { if (this.playing) { this.pause(); this.draw(); this.told(this); } else this.play(); return; }
    this.pause();
    const to = { first: () => this.heap.phaseEdge(-1), last: () => this.heap.phaseEdge(1), back: () => this.heap.position - 1, step: () => this.heap.position + 1 }[what];
    this.seek(to());
  }

  click(event) {
    const button = event.target.closest("button[data-do], button[data-colour]"), object = event.target.closest("[data-object]");
    if (button && button.dataset.do) this.act(button.dataset.do);
    else if (button) {
      this.colour = button.dataset.colour;
      for (const other of this.root.querySelectorAll("[data-colour]")) other.setAttribute("aria-pressed", other === button);
      this.draw();
    } else if (object) this.choose(Number(object.dataset.object));
  }

  key(event) {
    if (event.target.tagName === "INPUT") return;
    const what = { ArrowRight: "step", ArrowLeft: "back", PageDown: "last", PageUp: "first", " ": event.target === this.root ? "play" : "" }[event.key];
    if (!what || !this.heap.length) return;
    event.preventDefault();
    event.stopPropagation();
    this.act(what);
  }

  choose(i) { this.selected = i === this.selected ? -1 : i; this.draw(); this.told(this); }

  // ---- drawing -----------------------------------------------------------------------------------------

  palette() {
    const css = getComputedStyle(this.root), get = (name) => css.getPropertyValue(name).trim();
    return { white: get("--sh-white"), grey: get("--sh-grey"), black: get("--sh-black"), gone: get("--sh-gone"), ink: get("--sl-ink"), line: get("--sl-line"),
      soft: get("--sl-soft"), touched: get("--sh-touched"), free: get("--sh-free") };
  }

  fill(i, colours) {
    const state = this.heap.state[i];
    if (state === GONE) return colours.gone;
    if (this.colour === "age") return AGES[Math.min(this.heap.age[i], AGES.length - 1)];
    if (this.colour === "type") return this.typeColour(this.heap.type[i]);
    return colours[COLOURS[state]];
  }

  typeColour(type) { return `hsl(${(type * 137.5 + 205) % 360} 55% 52%)`; }

  draw() {
    const heap = this.heap, colours = this.palette();
    this.$("[data-testid=sh-seek]").value = heap.position;
    this.$("[data-testid=sh-play]").innerHTML = this.playing ? `${GLYPHS.pause} Pause` : `${GLYPHS.play} Play`;
    this.$("[data-testid=sh-count]").textContent = heap.length ? `${number(heap.position)} of ${number(heap.length)}` : "";
    const said = heap.sentence();
    this.$("[data-testid=sh-sentence]").textContent = said || `the heap of ${heap.about.process}`;
    if (this.cycle) this.drawTime(colours);
    this.legend();
    this.$(".sh-memory h4 small").textContent = `${heap.about.process}, ${heap.about.collector}` + (heap.phase >= 0 ? `: ${heap.phaseText()}` : "");
    for (const one of this.spaces) this.drawSpace(one, colours);
    this.drawTypes();
    this.drawRoots();
    this.drawGraph();
  }

  // Who is at work: a strip of the whole cycle, and the place in it.
  drawTime(colours) {
    const heap = this.heap, canvas = this.$("[data-testid=sh-time]"), width = canvas.clientWidth, ratio = window.devicePixelRatio || 1, who = heap.who();
    const badge = this.$("[data-testid=sh-who]");
    badge.hidden = !who;
    badge.textContent = who;
    badge.style.background = heap.phase >= 0 ? STRETCHES[heap.phase] : "";
    if (!width) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(18 * ratio);
    const g = canvas.getContext("2d"), x = (n) => (n / heap.length) * width;
    g.scale(ratio, ratio);
    for (const [from, phase, to] of this.stretches) {
      g.globalAlpha = from < heap.position ? 1 : 0.45;
      g.fillStyle = STRETCHES[phase] || colours.soft;
      const tall = phase === 3 ? 7 : 14; // the program's are lower: the strip is read without its colours, too
      g.fillRect(x(from), 16 - tall, Math.max(1, x(to) - x(from) - 1), tall);
    }
    g.globalAlpha = 1;
    g.fillStyle = colours.ink;
    g.fillRect(Math.min(width - 2, x(heap.position)), 0, 2, 18);
  }

  legend() {
    const counts = this.heap.counts;
    const items = (this.cycle ? CYCLE_STATES : STATES).map((text, s) => `<span><i class="sh-${COLOURS[s]}"></i>${text} <b>${number(counts[s])}</b></span>`);
    if (this.colour === "age") items.splice(0, 3, ...AGES.map((c, n) => `<span><i style="background:${c}"></i>${n}${n === AGES.length - 1 ? " or more" : ""} collections survived</span>`));
    if (this.colour === "type") items.splice(0, 3);
    items.push(`<span><i class="sh-mark"></i>the last step's</span>`);
    if (this.heap.free0.length || this.heap.freed.length) items.push(`<span><i class="sh-list"></i>on a free list</span>`);
    if (this.heap.remembered.includes(1)) items.push(`<span><i class="sh-rem"></i>in the remembered set</span>`);
    if (this.cycle) {
      const [missed, saved] = this.heap.unfollowed();
      items.push(`<span><i class="sh-missed"></i>references from black to white <b>${number(missed)}</b>, without the barrier <b>${number(missed + saved)}</b></span>`);
    }
    const html = items.join("");
    if (html !== this.legendWas) this.$("[data-testid=sh-legend]").innerHTML = this.legendWas = html;
  }

  // Rows of whole pages; few enough to see, each at least three pixels high.
  layout(one) {
    const [, start, end] = one.space, width = one.canvas.clientWidth, many = this.heap.count > MANY || end - start > 48 * PAGE_WORDS;
    const first = Math.floor(start / PAGE_WORDS), pages = Math.max(1, Math.ceil(end / PAGE_WORDS) - first);
    if (many) {
      const columns = Math.max(1, Math.min(pages, Math.floor(width / 22))), rows = Math.ceil(pages / columns), height = rows > 14 ? 14 : 22;
      return { many, first, pages, columns, rows, height, box: width / columns, width };
    }
    const across = pages > 24 ? 4 : pages > 12 ? 2 : 1, rows = Math.ceil(pages / across);
    return { many, first, pages, rows, words: across * PAGE_WORDS, height: 20, scale: width / (across * PAGE_WORDS), width };
  }

  drawSpace(one, colours) {
    const heap = this.heap, canvas = one.canvas, [name, start, end] = one.space;
    if (!canvas.clientWidth) return;
    const l = one.place.layout = this.layout(one), ratio = window.devicePixelRatio || 1, height = l.rows * l.height;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(l.width * ratio);
    canvas.height = Math.round(height * ratio);
    const g = canvas.getContext("2d");
    g.scale(ratio, ratio);
    let used = 0, objects = 0;
    const inside = [];
    for (let i = 0; i < heap.count; i++) {
      const at = heap.where[i];
      if (at >= start && at < end && heap.state[i] !== LATER) {
        if (heap.state[i] !== GONE) { used += heap.size[i]; objects++; }
        inside.push(i);
      }
    }
    const share = end > start ? Math.round((100 * used) / (end - start)) : 0;
    one.place.querySelector("span").textContent = `${heap.address(start)} to ${heap.address(end)}, ${number(objects)} objects, ${share}% full${l.many ? "; a box is a page" : ""}`;
    canvas.setAttribute("aria-label", `${name}: ${objects} objects, ${share}% full`);
    if (l.many) this.drawPages(g, one, l, inside, colours);
    else this.drawObjects(g, one, l, inside, colours);
  }

  // Calls with each piece of a range of words that lies in one row.
  pieces(l, at, size, draw) {
    let word = at - l.first * PAGE_WORDS, left = size;
    while (left > 0) {
      const row = Math.floor(word / l.words), x = word - row * l.words, n = Math.min(left, l.words - x);
      draw(x * l.scale, row * l.height, n * l.scale, n === left);
      word += n;
      left -= n;
    }
  }

  drawObjects(g, one, l, inside, colours) {
    const heap = this.heap, [, start, end] = one.space, tall = l.height - 4;
    g.fillStyle = colours.free;
    this.pieces(l, start, end - start, (x, y, w) => { g.globalAlpha = 0.35; g.fillRect(x, y + 2, w, tall); });
    g.globalAlpha = 1;
    g.strokeStyle = colours.soft;
    const hatch = (at, size) => {
      if (this.cycle) g.globalAlpha = 0.35; // boxes are black objects there
      this.pieces(l, at, size, (x, y, w) => { g.strokeRect(x + 1.5, y + 4.5, Math.max(1, w - 3), tall - 5); });
      g.globalAlpha = 1;
    };
    for (let k = 0; k < heap.free0.length; k += 2) if (heap.free0[k] >= start && heap.free0[k] < end) hatch(heap.free0[k], heap.free0[k + 1]);
    for (const gone of [true, false]) {
      if (!gone) for (const [at, size] of heap.freed) if (at >= start && at < end) { g.strokeStyle = colours.soft; g.lineWidth = 1; hatch(at, size); }
      for (const i of inside) {
        if ((heap.state[i] === GONE) !== gone) continue;
        g.globalAlpha = gone ? 0.28 : 1;
        g.fillStyle = this.fill(i, colours);
        this.pieces(l, heap.where[i], heap.size[i], (x, y, w) => {
          g.fillRect(x + 0.5, y + 2, Math.max(0.8, w - 1), tall);
          if (!gone && (heap.state[i] === WHITE || this.cycle) && this.colour === "state" && w > 3) { g.strokeStyle = colours.soft; g.lineWidth = 1; g.strokeRect(x + 1, y + 2.5, w - 2, tall - 1); }
          if (heap.remembered[i] && w > 2) { g.fillStyle = "#CC79A7"; g.fillRect(x + 0.5, y + tall - 1, Math.max(2, w - 1), 3); g.fillStyle = this.fill(i, colours); }
        });
      }
    }
    g.globalAlpha = 1;
    for (const [i, colour, thick] of [[heap.touched, colours.touched, 2], [this.selected, colours.ink, 2]]) {
      if (i < 0 || heap.state[i] === LATER || heap.where[i] < start || heap.where[i] >= end) continue;
      g.strokeStyle = colour;
      g.lineWidth = thick;
      this.pieces(l, heap.where[i], heap.size[i], (x, y, w) => g.strokeRect(x + 0.5, y + 1, Math.max(3, w - 1), tall + 2));
    }
  }

  drawPages(g, one, l, inside, colours) {
    const heap = this.heap, [, start, end] = one.space, use = new Float64Array(l.pages * 4);
    const add = (at, size, state) => {
      while (size > 0) {
        const page = Math.floor(at / PAGE_WORDS), n = Math.min(size, (page + 1) * PAGE_WORDS - at), place = page - l.first;
        if (place >= 0 && place < l.pages) use[4 * place + state] += n;
        at += n;
        size -= n;
      }
    };
    for (const i of inside) if (heap.state[i] !== GONE) add(heap.where[i], heap.size[i], heap.state[i]);
    for (let p = 0; p < l.pages; p++) {
      const x = (p % l.columns) * l.box, y = Math.floor(p / l.columns) * l.height, w = Math.max(1, l.box - 1.5), h = l.height - 2;
      g.globalAlpha = 0.35;
      g.fillStyle = colours.free;
      g.fillRect(x, y, w, h);
      g.globalAlpha = 1;
      let bottom = y + h;
      for (const state of [BLACK, GREY, WHITE]) {
        const part = (use[4 * p + state] / PAGE_WORDS) * h;
        if (part <= 0) continue;
        g.fillStyle = state === WHITE ? colours.soft : colours[COLOURS[state]];
        if (state === WHITE) g.globalAlpha = 0.45;
        g.fillRect(x, bottom - part, w, part);
        g.globalAlpha = 1;
        bottom -= part;
      }
    }
    for (const [i, colour] of [[heap.touched, colours.touched], [this.selected, colours.ink]]) {
      if (i < 0 || heap.state[i] === LATER || heap.where[i] < start || heap.where[i] >= end) continue;
      const p = Math.floor(heap.where[i] / PAGE_WORDS) - l.first;
      g.strokeStyle = colour;
      g.lineWidth = 2;
      g.strokeRect((p % l.columns) * l.box, Math.floor(p / l.columns) * l.height, Math.max(2, l.box - 1.5), l.height - 2);
    }
  }

  objectAt(n, event) {
    const one = this.spaces[n], l = one.place.layout, r = one.canvas.getBoundingClientRect(), heap = this.heap;
    if (!l) return -1;
    const x = event.clientX - r.left, row = Math.floor((event.clientY - r.top) / l.height);
    const from = l.many ? (l.first + row * l.columns + Math.floor(x / l.box)) * PAGE_WORDS : l.first * PAGE_WORDS + row * l.words + Math.floor(x / l.scale);
    const to = l.many ? from + PAGE_WORDS : from + 1;
    let best = -1;
    for (let i = 0; i < heap.count; i++) {
      if (heap.state[i] !== LATER && heap.where[i] < to && heap.where[i] + heap.size[i] > from && (best < 0 || heap.state[best] === GONE)) best = i;
      if (l.many && best >= 0 && heap.state[best] !== GONE) break;
    }
    return best;
  }

  tell(event, i) {
    const tip = this.$(".sl-tip");
    tip.hidden = i < 0;
    if (i < 0) return;
    const r = this.root.getBoundingClientRect();
    tip.textContent = this.describe(i);
    tip.style.left = `${Math.max(4, Math.min(event.clientX - r.left + 12, r.width - 260))}px`;
    tip.style.top = `${event.clientY - r.top + 16}px`;
  }

  describe(i) {
    const heap = this.heap, out = heap.out[i].length, into = heap.into[i].length, states = this.cycle ? CYCLE_STATES : STATES;
    if (heap.state[i] === LATER) return `${heap.name(i)}, not made yet`;
    return `${heap.name(i)}, ${number(8 * heap.size[i])} bytes, ${states[heap.state[i]]}; refers to ${out}, referred to by ${into}` + (heap.age[i] ? `; survived ${heap.age[i]}` : "");
  }

  drawTypes() {
    const heap = this.heap, types = new Map();
    for (let i = 0; i < heap.count; i++) {
      if (heap.state[i] === LATER) continue;
      let row = types.get(heap.type[i]);
      if (!row) types.set(heap.type[i], (row = { bytes: [0, 0, 0, 0], objects: 0 }));
      row.bytes[heap.state[i]] += 8 * heap.size[i];
      row.objects++;
    }
    const rows = [...types].map(([type, row]) => ({ type, ...row, sum: row.bytes.reduce((a, b) => a + b) })).sort((a, b) => b.sum - a.sum || a.type - b.type);
    const most = rows.length ? rows[0].sum : 1;
    const text = (s) => { const d = document.createElement("i"); d.textContent = s; return d.innerHTML; };
    this.$(".sh-types > div").innerHTML = rows.slice(0, 12).map((row) => `<div class="sh-type" title="${number(row.objects)} objects, ${number(row.sum)} bytes"><span>${this.colour === "type" ? `<i style="background:${this.typeColour(row.type)}"></i>` : ""}${text(heap.about.types[row.type] || "object")}</span><div><div style="width:${(100 * row.sum) / most}%">${[2, 1, 0, 3].map((s) => row.bytes[s] ? `<i class="sh-${COLOURS[s]}" style="flex:${row.bytes[s]}"></i>` : "").join("")}</div></div><b>${number(row.objects)}</b></div>`).join("");
    this.$(".sh-types h4 small").textContent = `by bytes${rows.length > 12 ? `; ${rows.length - 12} more are smaller` : ""}`;
  }

  drawRoots() {
    const heap = this.heap, roots = heap.about.roots, chips = this.$(".sh-chips");
    if (!chips.children.length && roots.length) {
      for (const [name, kind] of roots) {
        const chip = document.createElement("button");
        chip.className = "sh-chip";
        chip.textContent = name;
        chip.title = kind;
        chips.appendChild(chip);
      }
    }
    [...chips.children].forEach((chip, n) => {
      const target = heap.held[n];
      if (target >= 0) chip.dataset.object = target;
      else delete chip.dataset.object;
      chip.classList.toggle("sh-none", target < 0);
      chip.title = roots[n][1] + (target >= 0 ? `: ${heap.name(target)}` : ": nothing in this heap now");
      chip.classList.toggle("sh-seen", heap.rootsSeen[n] === 1 && target >= 0);
      chip.classList.toggle("sh-chosen", target >= 0 && target === this.selected);
    });
    const more = heap.about.rootCount - roots.length;
    this.$(".sh-roots h4 small").textContent = `${number(heap.about.rootCount)}${more > 0 ? `; the first ${number(roots.length)} are shown` : ""}`;
  }

  // The objects to draw, in columns by how far they are from the roots (or from the chosen one).
  columns() {
    const heap = this.heap, around = heap.count > GRAPH_MOST;
    if (around && this.selected < 0) return null;
    const depth = new Map(), key = around ? `a${this.selected} ${heap.alters ? heap.position : ""}` : "all";
    if (this.columnsKey === key) return this.columnsWas;
    let front = around ? [this.selected] : this.everHeld();
    for (const i of front) depth.set(i, 0);
    for (let d = 1; front.length && depth.size < (around ? AROUND_MOST : Infinity) && (!around || d < 4); d++) {
      const next = [];
      for (const i of front) for (const j of (around ? heap.out : heap.everOut)[i]) {
        if (!depth.has(j) && (!around || depth.size < AROUND_MOST)) { depth.set(j, d); next.push(j); }
      }
      front = next;
    }
    if (around) for (const j of heap.into[this.selected]) if (depth.size < AROUND_MOST && !depth.has(j)) depth.set(j, -1);
    const rows = new Map();
    for (const [i, d] of depth) { if (!rows.has(d)) rows.set(d, []); rows.get(d).push(i); }
    const ordered = [...rows.keys()].sort((a, b) => a - b).map((d) => rows.get(d));
    let lost = [];
    if (!around) for (let i = 0; i < heap.count; i++) if (!depth.has(i)) lost.push(i);
    this.columnsKey = key;
    return (this.columnsWas = { ordered, lost, around });
  }

  // What roots refer to at any time.
  everHeld() {
    const heap = this.heap, found = new Set(heap.about.roots.map((root) => root[2]));
    if (heap.alters) { // an address may be one object's after another
      const copy = new HeapModel(heap.about, this.data);
      while (copy.position < copy.length) { copy.forward(); for (const i of copy.held) found.add(i); }
    }
    found.delete(-1);
    return [...found];
  }

  drawGraph() {
    const heap = this.heap, place = this.$(".sh-draw"), small = this.$(".sh-graph h4 small"), found = this.columns();
    if (!found) {
      small.textContent = "";
      place.innerHTML = `<p class="sl-none">${number(heap.count)} objects are too many to draw. Click one in memory, or a root, to see what is around it.</p>`;
      return;
    }
    small.textContent = found.around ? `around ${heap.name(this.selected)}` : "by distance from the roots";
    const at = new Map(), width = Math.max(260, place.clientWidth - 8), most = Math.max(...found.ordered.map((c) => c.length), 1);
    const speaks = Object.keys(heap.said).length > 0 && heap.first <= SPEAK_MOST, lostWide = speaks ? 72 : 24, lostTall = speaks ? 40 : 24;
    const gap = speaks ? 40 : Math.max(24, Math.min(30, 300 / most)), step = Math.max(28, Math.min(90, (width - 40) / Math.max(1, found.ordered.length - 1)));
    const tall = most * gap;
    found.ordered.forEach((column, c) => {
      if (c) { // where what refers to it stands, so that lines cross less
        const weight = new Map(column.map((i) => {
          let sum = 0, n = 0;
          for (const j of heap.everInto[i]) if (at.has(j)) { sum += at.get(j)[1]; n++; }
          return [i, n ? sum / n : 1e9];
        }));
        column.sort((a, b) => weight.get(a) - weight.get(b) || a - b);
      }
      column.forEach((i, n) => at.set(i, [(speaks ? 34 : 20) + c * step, 14 + ((n + 0.5) * tall) / column.length]));
    });
    const wide = (speaks ? 80 : 40) + Math.max(0, found.ordered.length - 1) * step, perRow = Math.max(1, Math.floor((Math.max(wide, width) - 24) / lostWide)), lostTop = tall + 44;
    found.lost.forEach((i, n) => at.set(i, [(speaks ? 34 : 20) + (n % perRow) * lostWide, lostTop + Math.floor(n / perRow) * lostTall]));
    const height = found.lost.length ? lostTop + Math.ceil(found.lost.length / perRow) * lostTall : tall + 28;
    const lines = [];
    for (const [i, [x, y]] of at) if (heap.state[i] !== LATER) for (const j of heap.out[i]) {
      const end = at.get(j);
      if (!end || heap.state[j] === LATER || (heap.alters && !heap.exists(i))) continue;
      const [u, v] = end, far = Math.hypot(u - x, v - y) || 1, own = i === j;
      const hot = i === this.selected || j === this.selected, missed = this.cycle && (heap.missed(i, j) || heap.saved(i, j));
      if (own) lines.push(`<path class="sh-edge" d="M${x - 4} ${y - 7}c-8 -14 16 -14 8 0"/>`);
      else lines.push(`<line class="sh-edge${hot ? " sh-hot" : ""}${missed ? " sh-lost" : ""}" x1="${x + (8 * (u - x)) / far}" y1="${y + (8 * (v - y)) / far}" x2="${u - (10 * (u - x)) / far}" y2="${v - (10 * (v - y)) / far}" marker-end="url(#${this.arrow()})"/>`);
    }
    const rooted = new Set(heap.held);
    const nodes = [...at].filter(([i]) => heap.state[i] !== LATER).map(([i, [x, y]]) => `<g data-object="${i}" class="sh-node${heap.state[i] === GONE ? " sh-nodegone" : ""}"><title>${this.escape(this.describe(i))}</title>${rooted.has(i) ? `<rect x="${x - 10}" y="${y - 10}" width="20" height="20" rx="4" class="sh-rooted"/>` : ""}<circle cx="${x}" cy="${y}" r="7" class="sh-${COLOURS[heap.state[i]]}${i === heap.touched ? " sh-touch" : ""}${i === this.selected ? " sh-chosen" : ""}"${this.colour !== "state" && heap.state[i] !== GONE ? ` style="fill:${this.fill(i, {})}"` : ""}/>${speaks ? this.label(i, x, y) : ""}</g>`);
    const note = found.lost.length ? `<text class="sl-label" x="10" y="${lostTop - 18}">no root leads to</text>` : "";
    place.innerHTML = `<svg style="width:${Math.max(wide, Math.min(width, wide))}px;min-width:100%;height:${height}px" viewBox="0 0 ${Math.max(wide, width)} ${height}" preserveAspectRatio="xMinYMin meet"><defs><marker id="${this.arrow()}" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" class="sh-arrow"/></marker></defs>${lines.join("")}${note}${nodes.join("")}</svg>`;
  }

  // What an object says, below it.
  label(i, x, y) {
    const said = this.heap.said[i];
    if (!said) return "";
    return `<text class="sh-said" text-anchor="middle" x="${x}" y="${y + 21}">${this.escape(said.length > 11 ? said.slice(0, 10) + "…" : said)}</text>`;
  }

  arrow() { return (this.marker ||= `sh-arrow-${Math.random().toString(36).slice(2)}`); }
  escape(text) { return text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`); }
}

function render({ model, el }) {
  const root = document.createElement("div");
  el.appendChild(root);
  let quiet = false, saved = 0, rest = null;
  const save = (view) => {
    saved = performance.now();
    quiet = true;
    for (const name of ["playing", "speed", "selected"]) model.set(name, view[name]);
    model.set("position", view.heap.position);
    model.save_changes();
    quiet = false;
  };
  const view = new HeapPanes(root, new HeapModel(model.get("about"), model.get("data")), model.get("data"), (view) => {
    clearTimeout(rest);
    if (!view.playing || performance.now() - saved > 100) save(view);
    else rest = setTimeout(() => save(view), 120);
  });
  view.setSpeed(model.get("speed"));
  view.selected = model.get("selected");
  view.heap.seek(model.get("position"));
  const moved = () => { if (!quiet && model.get("position") !== view.heap.position) { view.heap.seek(model.get("position")); view.draw(); } };
  const played = () => { if (!quiet && model.get("playing") !== view.playing) model.get("playing") ? view.play() : (view.pause(), view.draw()); };
  const chosen = () => { if (!quiet && model.get("selected") !== view.selected) { view.selected = model.get("selected"); view.draw(); } };
  model.on("change:position", moved);
  model.on("change:playing", played);
  const faster = () => { if (!quiet) view.setSpeed(model.get("speed")); };
  model.on("change:selected", chosen);
  model.on("change:speed", faster);
  view.draw();
  if (model.get("playing")) view.play();
  return () => {
    model.off("change:position", moved);
    model.off("change:playing", played);
    model.off("change:selected", chosen);
    model.off("change:speed", faster);
    view.destroy();
  };
}

export default { render };
