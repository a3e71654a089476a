/* The host's side of the same programs. */
#include <stdio.h>
#include "guest.h"

void put(char character) { putchar(character); }
int main(void) { return run(); }
