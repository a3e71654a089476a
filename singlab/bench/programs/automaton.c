/* A lexer as a state machine: a switch in a loop, table look-ups, few loads. */
static unsigned char text[8192];

unsigned long work(unsigned long round)
{
    static const char sample[] = "while (count < 100) { total = total + count * 2; /* add */ count = count + 1; } // end\n";
    enum { START, NAME, NUMBER, SLASH, LINE, BLOCK, STAR } state = START;
    unsigned long names = 0, numbers = 0, comments = 0, others = round;
    for (unsigned long i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)sample[i % (sizeof sample - 1)];
    for (unsigned long i = 0; i < sizeof text; i++) {
        unsigned char c = text[i];
        switch (state) {
        case LINE:
            if (c == '\n')
                state = START;
            break;
        case BLOCK:
            if (c == '*')
                state = STAR;
            break;
        case STAR:
            state = c == '/' ? START : c == '*' ? STAR : BLOCK;
            break;
        case SLASH:
            if (c == '/' || c == '*') {
                comments++;
                state = c == '/' ? LINE : BLOCK;
                break;
            }
            others++;
            state = START;
            /* fall through */
        default:
            if ((c >= 'a' && c <= 'z') || c == '_') {
                names += state != NAME;
                state = NAME;
            } else if (c >= '0' && c <= '9') {
                numbers += state == START;
                state = state == NAME ? NAME : NUMBER;
            } else if (c == '/') {
                state = SLASH;
            } else {
                others += c != ' ' && c != '\n';
                state = START;
            }
        }
    }
    return names * 1000003 + numbers * 10007 + comments * 101 + others;
}
