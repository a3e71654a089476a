/* What each program's rounds come to: one word, the same on every machine. */
unsigned long work(unsigned long round);

unsigned long rounds_done(void)
{
    unsigned long sum = 0;
    for (unsigned long round = 0; round < ROUNDS; round++)
        sum = (sum << 7 | sum >> 57) ^ work(round);
    return sum;
}
