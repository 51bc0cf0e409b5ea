/* split.pml - what is particular to split and lanes: a batch has one reader, who stamps the word with its bit. */

#define AUDIENCE_IS_THERE 1
#define UNTAKEN(s)        IS_READY(s)
#define HOLDS(s, r)       (slot[s].state == HELD && slot[s].mask == BIT(r))
#define CONCERNED(s, r)   HOLDS(s, r)
#define CLEARED(s, r)     1

#ifdef LANES
#define WAITING_MASK(q, r) BIT((q) % NUMBERS)
#define OFFERED(s)         (slot[s].state == READY && slot[s].mask == BIT(r))
#else
#define WAITING_MASK(q, r) 0
#define OFFERED(s)         (slot[s].state == READY)
#endif

#define CAN_TAKE(s, q) (OFFERED(s) && slot[s].seq == (q))

inline publish(s, audience)
{
	slot[s].state = READY;
	slot[s].mask = WAITING_MASK(slot[s].seq, 0)
}

/* A batch for me that nobody has had, lower than this one? */
#define EARLIER(s) (OFFERED(s) && slot[s].seq < candidate_seq && !slot[s].again)

/* claim_ready_slot(): READY(q) -> HELD(q, bit) */
inline take(s, q)
{
	assert(slot[s].again || !ANY(EARLIER));           /* batches are claimed in order */
	assert(slot[s].again || !(delivered & BIT(q)));   /* and handed out once, or flagged */
	assert(slot[s].again || (got >> ((q) + 1)) == 0); /* each reader sees them in order */
	slot[s].state = HELD;
	slot[s].mask = BIT(r);
	delivered = delivered | BIT(q);
	got = got | BIT(q)
}

/* shmring_release(): HELD(q, bit) -> FREE(q) */
inline release(s, q)
{
	atomic {
		assert(slot[s].state == HELD && slot[s].seq == (q) && slot[s].mask == BIT(r)); /* not torn: ours up to this step */
		set_free(s);
		finished = finished | BIT(q)
	}
}

/* take_back() */
inline sweep_word(s, r)
{
	if
	:: HOLDS(s, r) && had_left -> finished = finished | BIT(slot[s].seq); set_free(s)
	:: HOLDS(s, r) && !had_left ->
		slot[s].state = READY;
		slot[s].mask = WAITING_MASK(slot[s].seq, r);
#ifndef BUG_UNFLAGGED
		slot[s].again = 1
#endif
	:: else
	fi
}

/* What it holds stays HELD until it gives it back or dies. */
inline clear_on_goodbye(s, r)
{
#ifdef BUG_GOODBYE_CLEARS_HELD
	sweep_word(s, r)
#else
	skip
#endif
}

inline offer_orphans(s, r)
{
	skip
}
