// The virtio slots from a driver's side, in whatever version they have: every register, negotiation, queues, a disk in slot 0 and
// a source of random bytes in slot 2. What a device may choose (its other features, sizes) is not printed.
#include "board.h"

static u8 pages[8192] __attribute__((aligned(4096)));
static u8 data[2048] __attribute__((aligned(4096)));
static struct { u32 type, reserved; u64 sector; } header[2];
static volatile u8 status[2];
static struct queue q;

static u32 get(u64 base, u32 r) { return REG32(base + r); }
static void set(u64 base, u32 r, u32 v) { REG32(base + r) = v; }

// Every register a driver may read, as the version has them; config and what devices choose are looked at elsewhere.
static void walk(u64 base) {
  static const u16 registers[] = {MAGIC, VERSION, DEVICE, VENDOR, ACCEPTED, ACCEPTED_SEL, OFFERED_SEL, PAGE_SIZE, QUEUE_SEL, QUEUE_NUM, QUEUE_ALIGN,
    QUEUE_PFN, QUEUE_READY, NOTIFY, INTERRUPTS, ACK, STATUS, QUEUE_DESC, QUEUE_DESC + 4, QUEUE_DRIVER, QUEUE_DEVICE, 0x18, 0x2c, 0x48, 0x68, 0x78};
  for (u64 i = 0; i < sizeof registers / sizeof *registers; i++) { hex("register", registers[i]); hex(" ", get(base, registers[i])); }
  if (get(base, VERSION) == 2 && get(base, DEVICE)) { hex("generation", get(base, 0xfc)); hex("shared memory", get(base, 0xb0)); hex("  upper", get(base, 0xb4)); }
}

static void negotiation(u64 base, u64 known) {
  int modern = get(base, VERSION) == 2;
  u64 offered = 0;
  for (u32 i = 0; i < 2; i++) { set(base, OFFERED_SEL, i); offered |= (u64)get(base, OFFERED) << 32 * i; }
  hex("offered of ours", offered & known);
  hex("upper half", modern ? 0 : offered >> 32);
  static const u8 steps[] = {1, 3};
  set(base, STATUS, 0);
  for (u64 i = 0; i < sizeof steps; i++) { set(base, STATUS, steps[i]); hex("status", get(base, STATUS)); }
  for (u32 i = 0; i < 2; i++) { set(base, ACCEPTED_SEL, i); set(base, ACCEPTED, (offered & known) >> 32 * i); }
  if (modern) {
    set(base, STATUS, 11);
    hex("agreed", get(base, STATUS));
    set(base, STATUS, 15);
    hex("running", get(base, STATUS));
  } else {
    set(base, STATUS, 7);
    hex("running", get(base, STATUS));
  }
  set(base, STATUS, 0x80 | get(base, STATUS));
  hex("failed", get(base, STATUS));
  set(base, STATUS, 0);
  hex("reset", get(base, STATUS));
}

static void queues(u64 base) {
  int modern = get(base, VERSION) == 2;
  for (u32 i = 0; i < 4; i++) { set(base, QUEUE_SEL, i); hex("most", get(base, QUEUE_MAX)); hex("set up", get(base, modern ? QUEUE_READY : QUEUE_PFN)); }
  negotiate(base, 0);
  setup(&q, base, 0, pages);
  hex("set up", modern ? get(base, QUEUE_READY) : get(base, QUEUE_PFN) == (u64)pages >> 12);
  hex("the other version's", get(base, modern ? QUEUE_PFN : QUEUE_READY));
  set(base, QUEUE_SEL, 7);
  hex("none there", get(base, modern ? QUEUE_READY : QUEUE_PFN));
  set(base, QUEUE_SEL, 0);
  if (modern) {
    set(base, QUEUE_READY, 0);
    hex("taken away", get(base, QUEUE_READY));
    set(base, QUEUE_READY, 1);
  } else {
    set(base, QUEUE_PFN, 0);
    hex("taken away", get(base, QUEUE_PFN));
  }
  set(base, STATUS, 0);
  set(base, QUEUE_SEL, 0);
  hex("after a reset", get(base, modern ? QUEUE_READY : QUEUE_PFN));
}

static void widths(u64 base) {
  hex("a byte of magic", REG8(base));
  hex("half of magic", *(volatile u16 *)base);
  set(base, STATUS, 0);
  REG8(base + STATUS) = 1;
  hex("a byte to status", get(base, STATUS));
  hex("config byte", REG8(base + CONFIG));
  hex("config byte", REG8(base + CONFIG + 1));
  hex("config half", *(volatile u16 *)(base + CONFIG));
  hex("config word", get(base, CONFIG));
  hex("upper word", get(base, CONFIG + 4));
}

static void interrupt(u64 base) {
  while (!(get(base, INTERRUPTS) & 1)) {}
  hex("  why", get(base, INTERRUPTS));
  set(base, ACK, 2);
  hex("  another acknowledged", get(base, INTERRUPTS));
  set(base, ACK, 1);
  hex("  acknowledged", get(base, INTERRUPTS));
}

static void prepare(int which, int at, u32 type, u64 sector, u8 *buffer, u32 len) {
  header[which].type = type;
  header[which].sector = sector;
  status[which] = 0xee;
  q.desc[at] = (struct desc){(u64)&header[which], 16, NEXT, at + 1};
  q.desc[at + 1] = (struct desc){(u64)buffer, len, NEXT | (type == 1 ? 0 : WRITE), at + 2};
  q.desc[at + 2] = (struct desc){(u64)&status[which], 1, WRITE, 0};
}

static void one(const char *name, u32 type, u64 sector, u32 len) {
  prepare(0, 4, type, sector, data, len);
  offer(&q, 4);
  while (!done(&q)) {}
  hex(name, q.used->ring[q.seen % NUM].id);
  hex("  used", finished(&q));
  hex("  status", status[0]);
  hex("  sum", sum(data, sizeof data));
  interrupt(q.base);
}

static void disk(u64 base) {
  negotiate(base, 1ul << 6 | 1ul << 9);
  setup(&q, base, 0, pages);
  ready(base);
  hex("capacity", get(base, CONFIG));
  hex("block size", get(base, CONFIG + 20));
  one("read", 0, 3, 1024);
  for (u64 i = 0; i < sizeof data; i++) data[i] = i * 13 + (i >> 8);
  one("write", 1, 20, 2048);
  memset(data, 0xaa, sizeof data);
  one("read back", 0, 21, 1024);
  // two at once: both are done, in whatever order
  prepare(0, 0, 0, 1, data, 512);
  prepare(1, 4, 0, 2, data + 1024, 512);
  q.avail->ring[q.avail->idx % NUM] = 0;
  q.avail->ring[(q.avail->idx + 1) % NUM] = 4;
  asm volatile("fence" ::: "memory");
  q.avail->idx += 2;
  asm volatile("fence" ::: "memory");
  set(base, NOTIFY, 0);
  while ((u16)(q.used->idx - q.seen) != 2) {}
  u64 ids = 0, lengths = 0;
  for (int i = 0; i < 2; i++) { ids += 1ul << q.used->ring[q.seen % NUM].id; lengths += finished(&q); }
  hex("two at once", ids);
  hex("  used", lengths);
  hex("  status", status[0] | status[1]);
  hex("  sum", sum(data, sizeof data));
  // a reset takes all away: nothing is done for a notify now
  set(base, STATUS, 0);
  q.avail->ring[q.avail->idx % NUM] = 0;
  q.avail->idx++;
  set(base, NOTIFY, 0);
  hex("after a reset", done(&q));
  hex("  why", get(base, INTERRUPTS));
}

static void entropy(u64 base) {
  negotiate(base, 0);
  setup(&q, base, 0, pages);
  ready(base);
  u64 sums[2];
  for (int i = 0; i < 2; i++) {
    memset(data, 0, sizeof data);
    q.desc[0] = (struct desc){(u64)data, 24, WRITE | NEXT, 3};
    q.desc[3] = (struct desc){(u64)data + 512, 40, WRITE, 0};
    offer(&q, 0);
    while (!done(&q)) {}
    u32 len = finished(&q);
    hex("random bytes", len);
    u64 beyond = 0;
    for (u64 k = 0; k < sizeof data; k++) if (!(k < 24 || (k >= 512 && k < 512 + 40))) beyond += data[k];
    hex("  beyond", beyond);
    sums[i] = sum(data, sizeof data);
    interrupt(base);
  }
  memset(data, 0, sizeof data);
  hex("zeros", sum(data, sizeof data) == sums[0]);
  hex("the same", sums[0] == sums[1]);
}

int main(void) {
  for (int slot = 0; slot < 8; slot++) { hex("slot", slot); walk(VIRTIO(slot)); }
  static const u64 known[] = {1ul << 6 | 1ul << 9 | 1ul << 28 | 1ul << 32, 0, 1ul << 28 | 1ul << 32};
  for (int slot = 0; slot < 3; slot += 2) {
    hex("slot", slot);
    negotiation(VIRTIO(slot), known[slot]);
    queues(VIRTIO(slot));
    if (!slot) widths(VIRTIO(slot));
  }
  disk(VIRTIO(0));
  entropy(VIRTIO(2));
  return 0;
}
