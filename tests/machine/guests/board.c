/* The board's side: characters go to the UART; and what the compiler may call without a C library. */
#include "guest.h"

void put(char character) { *(volatile uint8_t *)0x10000000 = character; }

void *memcpy(void *to, const void *from, size_t count) {
    uint8_t *a = to; const uint8_t *b = from;
    while (count--) *a++ = *b++;
    return to;
}
void *memset(void *to, int value, size_t count) {
    uint8_t *a = to;
    while (count--) *a++ = value;
    return to;
}
void *memmove(void *to, const void *from, size_t count) {
    uint8_t *a = to; const uint8_t *b = from;
    if (a < b) while (count--) *a++ = *b++;
    else while (count--) a[count] = b[count];
    return to;
}
int memcmp(const void *one, const void *other, size_t count) {
    const uint8_t *a = one, *b = other;
    for (; count--; a++, b++) if (*a != *b) return *a - *b;
    return 0;
}
