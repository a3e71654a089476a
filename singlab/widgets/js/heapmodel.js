// A heap and what a collector does to it: the state after any number of steps. It draws nothing.

const WHITE = 0, GREY = 1, BLACK = 2, GONE = 3;
const PHASE = 0, ROOT = 1, REACH = 2, SCAN = 3, MOVE = 4, FREE = 5, REMEMBER = 6;

function words(value, Kind) {
  if (!value) return new Kind(0);
  const buffer = value.buffer || value, start = value.byteOffset || 0, bytes = value.byteLength;
  return new Kind(buffer.slice(start, start + bytes - (bytes % Kind.BYTES_PER_ELEMENT)));
}

class HeapModel {
  constructor(about, data) {
    this.about = about;
    this.birth = words(data.address, Uint32Array);
    this.size = words(data.size, Uint32Array);
    this.type = words(data.type, Uint16Array);
    this.age = words(data.age, Uint8Array);
    this.edges = words(data.edges, Uint32Array);
    this.free0 = words(data.free, Uint32Array);
    this.steps = words(data.steps, Uint32Array);
    this.count = this.birth.length;
    this.length = this.steps.length / 3;
    this.base = BigInt(about.base);
    this.remembered0 = words(data.remembered, Uint8Array);
    this.links();
    this.reset();
  }

  // References out of and into each object, as ranges of two arrays.
  links() {
    const n = this.count, m = this.edges.length / 2;
    this.outStart = new Uint32Array(n + 1);
    this.inStart = new Uint32Array(n + 1);
    for (let e = 0; e < m; e++) { this.outStart[this.edges[2 * e] + 1]++; this.inStart[this.edges[2 * e + 1] + 1]++; }
    for (let i = 0; i < n; i++) { this.outStart[i + 1] += this.outStart[i]; this.inStart[i + 1] += this.inStart[i]; }
    const o = this.outStart.slice(), i = this.inStart.slice();
    this.out = new Uint32Array(m);
    this.into = new Uint32Array(m);
    for (let e = 0; e < m; e++) { this.out[o[this.edges[2 * e]]++] = this.edges[2 * e + 1]; this.into[i[this.edges[2 * e + 1]]++] = this.edges[2 * e]; }
  }

  reset() {
    this.position = 0;
    this.where = this.birth.slice();
    this.state = new Uint8Array(this.count);
    this.remembered = this.remembered0.slice();
    this.at = new Map();
    for (let i = 0; i < this.count; i++) this.at.set(this.where[i], i);
    this.freed = [];
    this.rootsSeen = 0;
    this.phase = -1;
    this.undo = [];
    this.counts = [this.count, 0, 0, 0];
    this.movedObjects = 0;
    this.touched = -1;
  }

  paint(i, state) {
    this.counts[this.state[i]]--;
    this.counts[state]++;
    this.state[i] = state;
  }

  // One step on; what it takes to go back is kept.
  forward() {
    const k = 3 * this.position, what = this.steps[k], a = this.steps[k + 1], b = this.steps[k + 2];
    const back = { touched: this.touched };
    if (what === PHASE) { back.phase = this.phase; this.phase = a; }
    else if (what === ROOT) { back.root = true; this.rootsSeen++; const root = this.about.roots[a]; this.touched = root ? root[2] : -1; }
    else if (what === REACH || what === SCAN || what === REMEMBER) {
      const i = this.at.get(a);
      if (i !== undefined) {
        this.touched = i;
        if (what === REMEMBER) { back.remember = [i, this.remembered[i]]; this.remembered[i] = b ? 1 : 0; }
        else { back.paint = [[i, this.state[i]]]; this.paint(i, what === REACH ? GREY : BLACK); }
      }
    } else if (what === MOVE) {
      const i = this.at.get(a);
      if (i !== undefined) {
        back.move = [i, a, b];
        this.at.delete(a);
        back.gone = [];
        back.paint = [];
        for (let p = b; p < b + this.size[i]; p++) if (this.at.has(p)) { // what it comes to lie on is gone
          const j = this.at.get(p);
          back.gone.push(j);
          back.paint.push([j, this.state[j]]);
          this.paint(j, GONE);
          this.at.delete(p);
        }
        this.at.set(b, i);
        this.where[i] = b;
        this.movedObjects++;
        this.touched = i;
        if (this.state[i] === WHITE) { back.paint.push([i, WHITE]); this.paint(i, GREY); }
      }
    } else if (what === FREE) {
      const gone = [];
      if (b <= 64) { for (let p = a; p < a + b; p++) if (this.at.has(p)) gone.push(this.at.get(p)); }
      else for (const [p, i] of this.at) if (p >= a && p < a + b) gone.push(i);
      back.paint = gone.map((i) => [i, this.state[i]]);
      back.gone = gone;
      for (const i of gone) { this.paint(i, GONE); this.at.delete(this.where[i]); }
      this.touched = gone.length === 1 ? gone[0] : -1;
      back.free = true;
      this.freed.push([a, b]);
    }
    this.undo.push(back);
    this.position++;
  }

  backward() {
    const back = this.undo.pop();
    this.position--;
    this.touched = back.touched;
    if ("phase" in back) this.phase = back.phase;
    if (back.root) this.rootsSeen--;
    if (back.free) this.freed.pop();
    if (back.remember) this.remembered[back.remember[0]] = back.remember[1];
    if (back.move) {
      const [i, a, b] = back.move;
      this.at.delete(b);
      this.at.set(a, i);
      this.where[i] = a;
      this.movedObjects--;
    }
    if (back.gone) for (const i of back.gone) this.at.set(this.where[i], i);
    if (back.paint) for (const [i, state] of back.paint) this.paint(i, state);
  }

  seek(position) {
    const goal = Math.max(0, Math.min(this.length, position));
    if (goal < this.position / 2) this.reset();
    while (this.position < goal) this.forward();
    while (this.position > goal) this.backward();
  }

  // Behind the present phase, or before it.
  phaseEdge(direction) {
    let at = this.position;
    if (direction > 0) { at++; while (at < this.length && this.steps[3 * at] !== PHASE) at++; }
    else { at -= 2; while (at > 0 && this.steps[3 * at] !== PHASE) at--; }
    return Math.max(0, Math.min(this.length, at));
  }

  address(word) { return "0x" + (this.base + 8n * BigInt(word)).toString(16); }
  name(i) { return `${this.about.types[this.type[i]] || "object"} at ${this.address(this.where[i])}`; }
  spaceOf(word) { const s = this.about.spaces.find((s) => word >= s[1] && word < s[2]); return s ? s[0] : ""; }

  // What the last step did, as a sentence; it is told of the state behind the step.
  sentence() {
    if (!this.position) return this.length ? "before the collection" : "";
    const k = 3 * (this.position - 1), what = this.steps[k], a = this.steps[k + 1], b = this.steps[k + 2];
    const root = this.about.roots[a], at = what === MOVE ? b : a, i = this.at.get(at);
    const type = i !== undefined ? this.about.types[this.type[i]] || "object" : "object";
    const from = this.spaceOf(a), to = this.spaceOf(b), far = from !== to && to ? ` in ${to}` : "";
    const fill = {
      phase: this.about.phases[a] || `phase ${a}`, root: root ? `${root[0]} (${root[1]})` : `${a + 1}`, a: `${type} at ${this.address(a)}`,
      b: this.address(b) + far, bytes: (8 * b).toLocaleString("en"), place: this.address(a), into: b ? "into" : "out of",
    };
    return (this.about.sentences[what] || "").replace(/\{(\w+)\}/g, (_, name) => fill[name]);
  }

  bytes(state) {
    let sum = 0;
    for (let i = 0; i < this.count; i++) if (this.state[i] === state) sum += this.size[i];
    return 8 * sum;
  }
}
