// Block I/O, polled and by interrupts, in whatever version slot 0 has; prints all that it sees.
#include "board.h"

static u8 pages[8192] __attribute__((aligned(4096)));
static u8 data[4096] __attribute__((aligned(4096)));
static struct desc table[4];
static struct { u32 type, reserved; u64 sector; } header;
static volatile u8 status;
static struct queue q;
static volatile int interrupts, why, claimed, cause;

static void fill(int i, const volatile void *p, u32 len, u16 flags) {
  q.desc[i] = (struct desc){(u64)p, len, flags, i + 1};
}

static void request(u32 type, u64 sector, u32 len) {
  header.type = type;
  header.sector = sector;
  status = 0xee;
  int i = 0;
  fill(i++, &header, 16, NEXT);
  if (len) fill(i++, data, len, NEXT | (type == 1 ? 0 : WRITE));
  fill(i, &status, 1, WRITE);
}

static void polled(const char *name, u32 type, u64 sector, u32 len) {
  request(type, sector, len);
  offer(&q, 0);
  while (!done(&q)) {}
  u32 written = finished(&q);
  print(name);
  hex("  status", status);
  if (status == 0) hex("  used", written);
  hex("  sum", sum(data, 4096));
}

void __attribute__((interrupt, aligned(4))) handler(void) {
  cause = csr_read(mcause) & 0xff;
  u32 source = REG32(PLIC + 0x200004);
  if (source) {
    u32 bits = REG32(q.base + INTERRUPTS);
    REG32(q.base + ACK) = bits;
    REG32(PLIC + 0x200004) = source;
    if (bits) {  // an emulator that works beside us may interrupt once more than there is reason to
      interrupts++;
      why = bits;
      claimed = source;
    }
  }
}

int main(void) {
  u64 base = VIRTIO(0);
  hex("magic", REG32(base + MAGIC));
  hex("version", REG32(base + VERSION));
  hex("device", REG32(base + DEVICE));
  hex("empty", REG32(VIRTIO(5) + DEVICE));
  u64 agreed = negotiate(base, 1ul << 28 | 1ul << 6 | 1ul << 9);
  hex("agreed", agreed);
  hex("status", REG32(base + STATUS));
  hex("capacity", REG32(base + CONFIG) | (u64)REG32(base + CONFIG + 4) << 32);
  hex("block size", REG32(base + CONFIG + 20));
  hex("a byte", REG8(base + CONFIG));
  REG32(base + QUEUE_SEL) = 1;
  hex("no queue", REG32(base + QUEUE_MAX));
  REG32(base + QUEUE_SEL) = 0;
  hex("queue", REG32(base + QUEUE_MAX));
  setup(&q, base, 0, pages);
  ready(base);
  hex("status", REG32(base + STATUS));

  polled("read", 0, 0, 512);
  polled("read much", 0, 2, 4096);
  for (int i = 0; i < 1024; i++) data[i] = i * 7;
  polled("write", 1, 5, 1024);
  memset(data, 0, sizeof data);
  polled("read again", 0, 4, 2048);
  polled("at the end", 0, 63, 512);
  polled("beyond", 0, 64, 512);
  polled("across the end", 0, 63, 1024);
  polled("far beyond", 0, 0xfffffffffffffffful, 512);
  polled("write beyond", 1, 64, 512);
  polled("half a sector", 0, 0, 100);
  polled("flush", 4, 0, 0);
  polled("unknown", 99, 0, 512);
  hex("why", REG32(base + INTERRUPTS));
  REG32(base + ACK) = 1;
  hex("why", REG32(base + INTERRUPTS));

  // data in three pieces
  request(0, 7, 512);
  fill(1, data, 100, NEXT | WRITE);
  fill(2, data + 1000, 1024 - 100, NEXT | WRITE);
  fill(3, data + 3000, 512, NEXT | WRITE);
  fill(4, &status, 1, WRITE);
  offer(&q, 0);
  while (!done(&q)) {}
  hex("pieces", finished(&q));
  hex("  status", status);
  hex("  sum", sum(data, 4096));

  if (agreed >> 28 & 1) {
    request(0, 9, 512);
    memcpy(table, q.desc, sizeof table);
    q.desc[5] = (struct desc){(u64)table, 48, INDIRECT, 0};
    offer(&q, 5);
    while (!done(&q)) {}
    hex("indirect", q.used->ring[q.seen % NUM].id);
    hex("  used", finished(&q));
    hex("  sum", sum(data, 4096));
  }

  // by interrupts, often enough that the rings go round
  REG32(base + ACK) = 3;
  csr_write(mtvec, handler);
  REG32(PLIC + 4) = 1;
  REG32(PLIC + 0x2000) = 2;
  REG32(PLIC + 0x200000) = 0;
  csr_write(mie, 1 << 11);
  print("interrupts\n");
  for (int i = 0; i < 20; i++) {
    request(0, i, 512);
    csr_clear(mstatus, 8);
    int before = interrupts;
    offer(&q, 0);
    while (interrupts == before) {
      asm volatile("wfi");
      csr_set(mstatus, 8);
      csr_clear(mstatus, 8);
    }
    while (done(&q)) finished(&q);
    hex("  why", why);
    hex("  sum", sum(data, 512));
  }
  hex("count", interrupts);
  hex("source", claimed);
  hex("cause", cause);
  q.avail->flags = 1;
  request(0, 1, 512);
  offer(&q, 0);
  while (!done(&q)) {}
  finished(&q);
  csr_set(mstatus, 8);
  asm volatile("nop");
  csr_clear(mstatus, 8);
  hex("unwanted", interrupts);

  // a queue that breaks the rules: the device stops, and a reset brings it back
  q.avail->flags = 0;
  q.avail->ring[q.avail->idx % NUM] = 77;
  q.avail->idx++;
  REG32(base + NOTIFY) = 0;
  hex("broken", REG32(base + STATUS));
  hex("why", REG32(base + INTERRUPTS) & 2);
  negotiate(base, 0);
  setup(&q, base, 0, pages);
  ready(base);
  hex("status", REG32(base + STATUS));
  polled("read", 0, 5, 1024);
  return 7;
}
