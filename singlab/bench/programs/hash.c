/* Words counted in an open hash table: byte loads, shifts, multiplications, dependent probes. */
#define SLOTS 4096
static unsigned long keys[SLOTS], counts[SLOTS];
static unsigned char text[16384];

unsigned long work(unsigned long round)
{
    unsigned long seed = round * 2 + 1, sum = 0;
    for (unsigned long i = 0; i < SLOTS; i++)
        keys[i] = counts[i] = 0;
    for (unsigned long i = 0; i < sizeof text; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        text[i] = (seed & 7) == 0 ? ' ' : 'a' + (seed >> 8 & 3);
    }
    for (unsigned long i = 0; i < sizeof text;) {
        unsigned long h = 14695981039346656037ul;
        while (i < sizeof text && text[i] != ' ')
            h = (h ^ text[i++]) * 1099511628211ul;
        i++;
        unsigned long slot = h >> 20 & (SLOTS - 1);
        for (int tries = 0; tries < 64; tries++, slot = (slot + 1) & (SLOTS - 1)) {
            if (keys[slot] == 0)
                keys[slot] = h;
            if (keys[slot] == h) {
                counts[slot]++;
                break;
            }
        }
    }
    for (unsigned long i = 0; i < SLOTS; i++)
        sum = sum * 13 + keys[i] * counts[i];
    return sum;
}
