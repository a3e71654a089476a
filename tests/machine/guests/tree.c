// Walks the device tree it was handed and says what it found: memory, harts, and where each device is and whom it interrupts.
#include "board.h"

enum { BEGIN = 1, END = 2, PROPERTY = 3, NOTHING = 4, FINISH = 9, NODES = 128, PROPERTIES = 16 };

struct node { const char *name; struct node *parent; int count; struct { const char *name; const u8 *value; u32 size; } has[PROPERTIES]; };
static struct node nodes[NODES];
static int found;

static u32 cell(const void *at) { const u8 *p = at; return (u32)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }
static u64 cells(const u8 *at, u32 n) { u64 v = 0; while (n--) { v = v << 32 | cell(at); at += 4; } return v; }
static u32 length(const char *s) { u32 n = 0; while (s[n]) n++; return n; }
static int same(const char *a, const char *b) { while (*a && *a == *b) { a++; b++; } return *a == *b; }
static int begins(const char *a, const char *b) { while (*b && *a == *b) { a++; b++; } return !*b; }

static int property(struct node *n, const char *name) {
  for (int i = 0; i < n->count; i++) if (same(n->has[i].name, name)) return i;
  return -1;
}
static u32 number(struct node *n, const char *name, u32 otherwise) {
  int i = property(n, name);
  return i < 0 ? otherwise : cell(n->has[i].value);
}
static int compatible(struct node *n, const char *with) {
  int i = property(n, "compatible");
  if (i < 0) return 0;
  const char *s = (const char *)n->has[i].value, *end = s + n->has[i].size;
  for (; s < end; s += length(s) + 1) if (same(s, with)) return 1;
  return 0;
}
static struct node *by_phandle(u32 phandle) {
  for (int i = 0; i < found; i++) if (number(&nodes[i], "phandle", 0) == phandle) return &nodes[i];
  return 0;
}
static void path(struct node *n) {
  if (!n) { print("(nobody)"); return; }
  if (n->parent) { if (n->parent->parent) path(n->parent); put('/'); print(n->name); }
}
static void texts(struct node *n, const char *name) {
  int i = property(n, name);
  print("  ");
  print(name);
  if (i < 0) print(" (none)");
  else
    for (const char *s = (const char *)n->has[i].value, *end = s + n->has[i].size; s < end; s += length(s) + 1) { put(' '); print(s); }
  put('\n');
}
static u64 address(struct node *n) {
  int i = property(n, "reg");
  return i < 0 ? 0 : cells(n->has[i].value, number(n->parent, "#address-cells", 2));
}

// Name, where it is, what it is, and its interrupts: the controller is inherited from the parents.
static void tell(struct node *n) {
  path(n);
  put('\n');
  u32 a = number(n->parent, "#address-cells", 2), s = number(n->parent, "#size-cells", 1);
  int i = property(n, "reg");
  for (u32 at = 0; i >= 0 && at < n->has[i].size; at += 4 * (a + s)) {
    hex("  at", cells(n->has[i].value + at, a));
    if (s) hex("  bytes", cells(n->has[i].value + at + 4 * a, s));
  }
  i = property(n, "interrupts");
  if (i >= 0) {
    struct node *up = n;
    while (up && property(up, "interrupt-parent") < 0) up = up->parent;
    struct node *to = up ? by_phandle(number(up, "interrupt-parent", 0)) : 0;
    u32 each = to ? number(to, "#interrupt-cells", 1) : 1;
    for (u32 at = 0; at < n->has[i].size; at += 4 * each) { hex("  interrupt", cell(n->has[i].value + at)); print("  of "); path(to); put('\n'); }
  }
  i = property(n, "interrupts-extended");
  for (u32 at = 0; i >= 0 && at < n->has[i].size;) {
    struct node *to = by_phandle(cell(n->has[i].value + at));
    u32 each = to ? number(to, "#interrupt-cells", 1) : 1;
    print("  to ");
    path(to);
    hex("", cell(n->has[i].value + at + 4));
    at += 4 + 4 * each;
  }
  if (property(n, "interrupt-controller") >= 0) hex("  controls interrupts of cells", number(n, "#interrupt-cells", 0));
}

// All nodes that are compatible, by address.
static void all(const char *kind) {
  print(kind);
  put('\n');
  u64 last = 0;
  for (int first = 1;; first = 0) {
    struct node *next = 0;
    for (int i = 0; i < found; i++)
      if (compatible(&nodes[i], kind) && (first || address(&nodes[i]) > last) && (!next || address(&nodes[i]) < address(next))) next = &nodes[i];
    if (!next) return;
    tell(next);
    texts(next, "compatible");
    last = address(next);
  }
}

static void switches(const char *kind) {
  for (int i = 0; i < found; i++)
    if (compatible(&nodes[i], kind)) {
      path(&nodes[i]);
      hex(" value", number(&nodes[i], "value", 0));
      hex("  offset", number(&nodes[i], "offset", 99));
      print("  of ");
      path(by_phandle(number(&nodes[i], "regmap", 0)));
      put('\n');
    }
}

int main(u64 hart, const u8 *tree) {
  hex("hart", hart);
  hex("magic", cell(tree));
  u32 total = cell(tree + 4), structure = cell(tree + 8), strings = cell(tree + 12), reserved = cell(tree + 16);
  hex("version", cell(tree + 20));
  hex("compatible with", cell(tree + 24));
  hex("boot hart", cell(tree + 28));
  hex("aligned", !((u64)tree & 7) && !(structure & 3) && !(reserved & 7));
  hex("within", structure + cell(tree + 36) <= total && strings + cell(tree + 32) <= total);
  u64 ranges = 0;
  for (const u8 *p = tree + reserved; cells(p, 2) || cells(p + 8, 2); p += 16) ranges++;
  hex("reserved", ranges);
  const u8 *p = tree + structure, *end = p + cell(tree + 36);
  struct node *now = 0;
  for (;;) {
    if (p >= end || found == NODES) return 1;
    u32 token = cell(p);
    p += 4;
    if (token == BEGIN) {
      struct node *n = &nodes[found++];
      n->name = (const char *)p;
      n->parent = now;
      now = n;
      p += (length((const char *)p) + 4) & ~3u;
    } else if (token == END) {
      if (!now) return 2;
      now = now->parent;
    } else if (token == PROPERTY) {
      if (!now || now->count == PROPERTIES) return 3;
      now->has[now->count].size = cell(p);
      now->has[now->count].name = (const char *)tree + strings + cell(p + 4);
      now->has[now->count++].value = p + 8;
      p += 8 + ((cell(p) + 3) & ~3u);
    } else if (token == FINISH) break;
    else if (token != NOTHING) return 4;
  }
  hex("nested rightly", !now);
  hex("ends at its end", p == end);

  texts(nodes, "compatible");
  for (int i = 0; i < found; i++) {
    struct node *n = &nodes[i];
    int kind = property(n, "device_type");
    if (kind >= 0 && same((const char *)n->has[kind].value, "memory")) tell(n);
    if (n->parent == nodes && same(n->name, "cpus")) {
      hex("harts' clock is given", number(n, "timebase-frequency", 0) != 0);
      for (int j = 0; j < found; j++)
        if (nodes[j].parent == n && begins(nodes[j].name, "cpu@")) {
          tell(&nodes[j]);
          texts(&nodes[j], "device_type");
          texts(&nodes[j], "compatible");
          texts(&nodes[j], "status");
          for (int k = 0; k < found; k++) if (nodes[k].parent == &nodes[j]) { tell(&nodes[k]); texts(&nodes[k], "compatible"); }
        }
    }
    if (n->parent == nodes && same(n->name, "soc")) { texts(n, "compatible"); hex("addresses as outside", property(n, "ranges") >= 0); }
    if (n->parent == nodes && same(n->name, "chosen")) texts(n, "stdout-path");
  }
  all("ns16550a");
  all("riscv,clint0");
  all("riscv,plic0");
  all("virtio,mmio");
  all("sifive,test0");
  switches("syscon-poweroff");
  switches("syscon-reboot");
  return 0;
}
