// A heap and what a collector does to it: the state after any number of steps. It draws nothing.

const WHITE = 0, GREY = 1, BLACK = 2, GONE = 3, LATER = 4;
const PHASE = 0, ROOT = 1, REACH = 2, SCAN = 3, MOVE = 4, FREE = 5, REMEMBER = 6, SHADE = 7, MAKE = 8, MAKE_BLACK = 9, REFER = 10, HOLD = 11, WHITEN = 12;
const NOTHING = 0xFFFFFFFF;

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
    this.bornEdges = words(data.bornEdges, Uint32Array);
    this.changes = words(data.changes, Int32Array);
    this.said = about.said || {};
    this.program = new Set(about.program || []);
    this.count = this.birth.length;
    this.first = about.first === undefined ? this.count : about.first; // those behind it are made by the program meanwhile
    this.length = this.steps.length / 3;
    this.base = BigInt(about.base);
    this.remembered0 = words(data.remembered, Uint8Array);
    this.links();
    this.reset();
  }

  // References out of and into each object: what they are now, and all that there are at any time.
  links() {
    const lists = () => Array.from({ length: this.count }, () => []);
    this.out = lists();
    this.into = lists();
    for (let e = 0; e < this.edges.length; e += 2) this.link(this.edges[e], this.edges[e + 1]);
    this.everOut = this.out;
    this.everInto = this.into;
    this.bornOut = new Map();
    for (let e = 0; e < this.bornEdges.length; e += 2) {
      const from = this.bornEdges[e];
      if (!this.bornOut.has(from)) this.bornOut.set(from, []);
      this.bornOut.get(from).push(this.bornEdges[e + 1]);
    }
    this.alters = this.changes.length > 0 || this.bornEdges.length > 0;
    if (!this.alters) return;
    const ever = [this.out.map((l) => l.slice()), this.into.map((l) => l.slice())];
    const add = (i, j) => { if (!ever[0][i].includes(j)) { ever[0][i].push(j); ever[1][j].push(i); } };
    for (const [i, targets] of this.bornOut) for (const j of targets) add(i, j);
    for (let c = 0; c < this.changes.length; c += 3) if (this.changes[c + 2] >= 0) add(this.changes[c], this.changes[c + 2]);
    [this.everOut, this.everInto] = ever;
    this.firstOut = this.out.map((l) => l.slice());
    this.firstInto = this.into.map((l) => l.slice());
  }

  link(i, j) { this.out[i].push(j); this.into[j].push(i); }
  unlink(i, j) { this.out[i].splice(this.out[i].lastIndexOf(j), 1); this.into[j].splice(this.into[j].lastIndexOf(i), 1); }

  reset() {
    this.position = 0;
    this.where = this.birth.slice();
    this.state = new Uint8Array(this.count).fill(LATER, this.first);
    this.remembered = this.remembered0.slice();
    this.at = new Map();
    for (let i = 0; i < this.first; i++) this.at.set(this.where[i], i);
    if (this.alters) { this.out = this.firstOut.map((l) => l.slice()); this.into = this.firstInto.map((l) => l.slice()); }
    this.freed = [];
    this.held = this.about.roots.map((root) => root[2]);
    this.rootsSeen = new Uint8Array(this.held.length);
    this.shaded = new Uint8Array(this.count); // waits because the write barrier has marked it
    this.phase = -1;
    this.phaseSays = 0;
    this.undo = [];
    this.counts = [this.first, 0, 0, 0, this.count - this.first];
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
    if (what === PHASE) {
      back.phase = [this.phase, this.phaseSays];
      this.phase = a;
      this.phaseSays = b;
      if (a === 0 && this.program.size) { back.seen = this.rootsSeen; this.rootsSeen = new Uint8Array(this.held.length); } // all are looked at again
    } else if (what === ROOT) {
      if (a < this.held.length) { back.root = [a, this.rootsSeen[a]]; this.rootsSeen[a] = 1; this.touched = this.held[a]; }
    } else if (what === HOLD) {
      const i = b === NOTHING ? -1 : this.at.get(b);
      if (a < this.held.length) { back.held = [a, this.held[a]]; this.held[a] = i === undefined ? -1 : i; this.touched = this.held[a]; }
    } else if (what === MAKE || what === MAKE_BLACK) {
      const i = this.first + b;
      back.make = i;
      back.paint = [[i, LATER]];
      this.paint(i, what === MAKE ? WHITE : BLACK);
      this.at.set(a, i);
      for (const j of this.bornOut.get(i) || []) this.link(i, j);
      this.touched = i;
    } else if (what === REFER) {
      const [i, old, now] = this.changes.subarray(3 * b, 3 * b + 3);
      back.refer = [i, old, now];
      if (old >= 0) this.unlink(i, old);
      if (now >= 0) this.link(i, now);
      this.touched = i;
    } else if (what === WHITEN) {
      back.paint = [];
      for (let i = 0; i < this.count; i++) if (this.state[i] === GREY || this.state[i] === BLACK) { back.paint.push([i, this.state[i]]); this.paint(i, WHITE); }
      this.touched = -1;
    } else if (what === REACH || what === SCAN || what === REMEMBER || what === SHADE) {
      const i = this.at.get(a);
      if (i !== undefined) {
        this.touched = i;
        if (what === REMEMBER) { back.remember = [i, this.remembered[i]]; this.remembered[i] = b ? 1 : 0; }
        else { back.paint = [[i, this.state[i]]]; back.shaded = [i, this.shaded[i]]; this.shaded[i] = what === SHADE ? 1 : 0; this.paint(i, what === SCAN ? BLACK : GREY); }
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
    if (back.phase) [this.phase, this.phaseSays] = back.phase;
    if (back.shaded) this.shaded[back.shaded[0]] = back.shaded[1];
    if (back.seen) this.rootsSeen = back.seen;
    if (back.root) this.rootsSeen[back.root[0]] = back.root[1];
    if (back.held) this.held[back.held[0]] = back.held[1];
    if ("make" in back) { this.at.delete(this.where[back.make]); for (const j of this.bornOut.get(back.make) || []) this.unlink(back.make, j); }
    if (back.refer) {
      const [i, old, now] = back.refer;
      if (now >= 0) this.unlink(i, now);
      if (old >= 0) this.link(i, old);
    }
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
  name(i) { return `${this.called(i)} at ${this.address(this.where[i])}`; }
  called(i) { const said = this.said[i]; return (this.about.types[this.type[i]] || "object") + (said ? ` “${said}”` : ""); }
  exists(i) { return this.state[i] !== GONE && this.state[i] !== LATER; }
  phaseText() { return this.phase < 0 ? "" : (this.about.phases[this.phase] || `phase ${this.phase}`).replace("{b}", this.phaseSays.toLocaleString("en")); }
  who() { return this.phase < 0 ? "" : this.program.has(this.phase) ? "program" : "collector"; }
  // Where phases begin: [step, phase, end].
  stretches() {
    const found = [];
    for (let n = 0; n < this.length; n++) if (this.steps[3 * n] === PHASE) {
      if (found.length) found[found.length - 1][2] = n;
      found.push([n, this.steps[3 * n + 1], this.length]);
    }
    return found;
  }
  // A reference that nobody would follow any more: from a black object to a white one; or to one that only the barrier has marked.
  missed(i, j) { return this.state[i] === BLACK && this.state[j] === WHITE; }
  saved(i, j) { return this.state[i] === BLACK && this.state[j] === GREY && this.shaded[j] === 1; }
  unfollowed() {
    const found = [0, 0];
    for (let i = 0; i < this.count; i++) if (this.state[i] === BLACK) for (const j of this.out[i]) {
      if (this.missed(i, j)) found[0]++;
      if (this.saved(i, j)) found[1]++;
    }
    return found;
  }
  spaceOf(word) { const s = this.about.spaces.find((s) => word >= s[1] && word < s[2]); return s ? s[0] : ""; }

  // What the last step did, as a sentence; it is told of the state behind the step.
  sentence() {
    if (!this.position) return this.length ? "before the collection" : "";
    const k = 3 * (this.position - 1), what = this.steps[k], a = this.steps[k + 1], b = this.steps[k + 2];
    const root = this.about.roots[a], at = what === MOVE ? b : a, i = what === MAKE || what === MAKE_BLACK ? this.first + b : this.at.get(at);
    const from = this.spaceOf(a), to = this.spaceOf(b), far = from !== to && to ? ` in ${to}` : "";
    const fill = {
      phase: what === PHASE ? this.phaseText() : "", root: root ? `${root[0]} (${root[1]})` : `${a + 1}`, a: `${i !== undefined ? this.called(i) : "object"} at ${this.address(a)}`,
      b: this.address(b) + far, bytes: (8 * b).toLocaleString("en"), place: this.address(a), into: b ? "into" : "out of",
    };
    if (what === HOLD) fill.change = this.held[a] < 0 ? "refers to nothing any more" : `refers to ${this.name(this.held[a])} now`;
    if (what === REFER) {
      const [, old, now] = this.changes.subarray(3 * b, 3 * b + 3);
      fill.change = now < 0 ? `refer no more to ${this.name(old)}` : `refer to ${this.name(now)}` + (old < 0 ? "" : `, no more to ${this.name(old)}`) + (now >= 0 && this.saved(this.changes[3 * b], now) ? "; without the barrier nobody would look at that one" : "");
    }
    return (this.about.sentences[what] || "").replace(/\{(\w+)\}/g, (_, name) => fill[name]);
  }

  bytes(state) {
    let sum = 0;
    for (let i = 0; i < this.count; i++) if (this.state[i] === state) sum += this.size[i];
    return 8 * sum;
  }
}
