// The network card in slot 1, looped back by the host, and random bytes from slot 2.
#include "board.h"

static u8 receive_pages[8192] __attribute__((aligned(4096))), transmit_pages[8192] __attribute__((aligned(4096)));
static u8 random_pages[8192] __attribute__((aligned(4096)));
static u8 in[4][1600], out[1600], noise[64];
static struct queue receive, transmit, random;

int main(void) {
  u64 base = VIRTIO(1);
  hex("device", REG32(base + DEVICE));
  hex("agreed", negotiate(base, 1 << 5 | 1 << 16));
  u32 header = REG32(base + VERSION) == 1 ? 10 : 12;
  print("mac");
  for (int i = 0; i < 6; i++) hex("", REG8(base + CONFIG + i));
  hex("link", *(volatile u16 *)(base + CONFIG + 6));
  setup(&receive, base, 0, receive_pages);
  setup(&transmit, base, 1, transmit_pages);
  ready(base);
  for (int i = 0; i < 4; i++) {
    receive.desc[i] = (struct desc){(u64)in[i], 1600, WRITE, 0};
    offer(&receive, i);
  }
  for (int round = 0; round < 6; round++) {
    u32 length = 60 + 200 * round;
    for (u32 i = 0; i < length; i++) out[header + i] = i * 3 + round;
    transmit.desc[0] = (struct desc){(u64)out, header, NEXT, 1};
    transmit.desc[1] = (struct desc){(u64)out + header, length, 0, 0};
    offer(&transmit, 0);
    while (!done(&transmit)) {}
    hex("sent", finished(&transmit));
    while (!done(&receive)) {}
    u32 id = receive.used->ring[receive.seen % NUM].id, got = finished(&receive) - header;
    hex("got", got);
    hex("  same", got == length && sum(in[id] + header, got) == sum(out + header, length));
    if (header == 12) hex("  buffers", in[id][10] | in[id][11] << 8);
    offer(&receive, id);
  }
  hex("why", REG32(base + INTERRUPTS));

  base = VIRTIO(2);
  hex("device", REG32(base + DEVICE));
  negotiate(base, 0);
  setup(&random, base, 0, random_pages);
  ready(base);
  random.desc[0] = (struct desc){(u64)noise, 10, WRITE | NEXT, 1};
  random.desc[1] = (struct desc){(u64)noise + 10, 40, WRITE, 0};
  offer(&random, 0);
  while (!done(&random)) {}
  hex("random", finished(&random));
  hex("  sum", sum(noise, 50));
  hex("  untouched", noise[50] | noise[63]);
  return 0;
}
