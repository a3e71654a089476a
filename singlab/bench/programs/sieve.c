/* Sieve of Eratosthenes: byte stores with a stride, and branches. */
static unsigned char composite[60000];

unsigned long work(unsigned long round)
{
    unsigned long primes = 0;
    for (unsigned long i = 0; i < sizeof composite; i++)
        composite[i] = 0;
    for (unsigned long i = 2; i < sizeof composite; i++) {
        if (composite[i])
            continue;
        primes++;
        for (unsigned long j = i + i; j < sizeof composite; j += i)
            composite[j] = 1;
    }
    return primes + round;
}
