/* See the header. Word index = (counter / 64) mod words; bit = counter mod 64. */
#include "kernel/core/ntm_replay.h"

void ntm_replay_init(struct ntm_replay *window, unsigned long long *bits, unsigned int words)
{
	unsigned int i;

	window->highest = 0;
	window->any = 0;
	window->words = words;
	window->bits = bits;
	for (i = 0; i < words; i++)
		bits[i] = 0;
}

static unsigned long long depth(const struct ntm_replay *window)
{
	return (unsigned long long)(window->words - 1) * 64;
}

static int is_set(const struct ntm_replay *window, unsigned long long counter)
{
	unsigned long long word = window->bits[(counter / 64) & (window->words - 1)];

	return (word >> (counter % 64)) & 1;
}

int ntm_replay_check(const struct ntm_replay *window, unsigned long long counter)
{
	if (!window->any || counter > window->highest)
		return 1;
	if (window->highest - counter >= depth(window))
		return 0;
	return !is_set(window, counter);
}

int ntm_replay_seen(const struct ntm_replay *window, unsigned long long counter)
{
	if (!window->any || counter > window->highest)
		return 0;
	if (window->highest - counter >= depth(window))
		return 0;
	return is_set(window, counter);
}

int ntm_replay_accept(struct ntm_replay *window, unsigned long long counter)
{
	unsigned long long from;
	unsigned long long to;

	if (!ntm_replay_check(window, counter))
		return 0;
	if (!window->any) {
		window->any = 1;
		window->highest = counter;
	} else if (counter > window->highest) {
		/* Words between the old and the new highest belong to a new round of the ring. */
		from = window->highest / 64 + 1;
		to = counter / 64;
		if (to >= from && to - from >= window->words)
			from = to - window->words + 1;
		for (; from <= to; from++)
			window->bits[from & (window->words - 1)] = 0;
		window->highest = counter;
	}
	window->bits[(counter / 64) & (window->words - 1)] |= 1ULL << (counter % 64);
	return 1;
}
