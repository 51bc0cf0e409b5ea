/* broadcast.pml - what is particular to broadcast: a batch has a mask of readers, each of whom clears its own bit. */

#define AUDIENCE_IS_THERE (joined >= AUDIENCE)
#define UNTAKEN(s)        (slot[s].state == READY && (slot[s].mask == 0 || (slot[s].mask & member)))
#define HOLDS(s, r)       (slot[s].state == READY && (slot[s].mask & BIT(r)))
#define KEPT(s, p)        (kept_slot[p] == (s) && kept_seq[p] == slot[s].seq)
#define CLEARED(s, r)     (!HOLDS(s, r) || (member & BIT(r)) || (owner[r] != NONE && KEPT(s, owner[r])))

#ifdef BUG_COUNTER
#define CONCERNED(s, r) (slot[s].state == READY && (due[owner[r]] & BIT(slot[s].seq)))
#else
#define CONCERNED(s, r) HOLDS(s, r)
#endif

/* Nothing changes when a reader takes a batch, so it must know for itself what it holds. */
#define OFFERED(s)     (slot[s].state == READY && (slot[s].mask & BIT(r)) && (s) != mine)
#define CAN_TAKE(s, q) (OFFERED(s) && slot[s].seq == (q))

#ifdef BUG_COUNTER
byte remaining[SLOTS]; /* a count in place of the mask */
#endif

inline publish(s, audience)
{
	slot[s].state = READY;
	slot[s].mask = audience;
	if
	:: audience & BIT(0) -> due[owner[0]] = due[owner[0]] | BIT(slot[s].seq)
	:: else
	fi;
	if
	:: audience & BIT(1) -> due[owner[1]] = due[owner[1]] | BIT(slot[s].seq)
	:: else
	fi;
	if
	:: audience & BIT(2) -> due[owner[2]] = due[owner[2]] | BIT(slot[s].seq)
	:: else
	fi;
#ifdef BUG_COUNTER
	remaining[s] = (audience & 1) + ((audience >> 1) & 1) + ((audience >> 2) & 1)
#endif
}

/* No word changes.  What a reader was offered stays offered to it, so this cannot fail. */
inline take(s, q)
{
	assert(!(got & BIT(q)));                          /* each reader gets a batch once */
	assert(slot[s].again || (got >> ((q) + 1)) == 0); /* and in order, or flagged */
	assert(slot[s].again || (due[me] & (BIT(q) - 1) & ~got) == 0); /* and without a gap */
	got = got | BIT(q)
}

/* shmring_release(): READY(q, m) -> READY(q, m & ~bit, seen), or FREE when that leaves nobody. */
inline release(s, q)
{
#ifdef BUG_STORE_RELEASE /* a load and a store, in place of a compare-and-swap */
	read_mask = slot[s].mask;
#endif
	atomic {
		assert(slot[s].state == READY && slot[s].seq == (q) && (slot[s].mask & BIT(r))); /* not torn: ours up to this step */
#ifdef BUG_STORE_RELEASE
		slot[s].mask = read_mask & ~BIT(r);
		read_mask = 0;
#else
		slot[s].mask = slot[s].mask & ~BIT(r);
#endif
		slot[s].seen = 1;
		finished = finished | BIT(q);
		if
#ifdef BUG_COUNTER
		:: remaining[s] == 1 -> remaining[s] = 0; set_free(s)
		:: else -> remaining[s]--
#else
		:: slot[s].mask == 0 -> set_free(s)
		:: else
#endif
		fi
	}
}

/* Nobody of the audience is left.  Seen by one of them: done.  Else it is offered to all who are there, or waits for the next. */
inline free_or_orphan(s)
{
	if
#ifdef BUG_ORPHAN_DROPPED
	:: slot[s].mask == 0 -> set_free(s)
#else
	:: slot[s].mask == 0 && slot[s].seen -> set_free(s)
	:: slot[s].mask == 0 && !slot[s].seen ->
		slot[s].again = 1;
#ifndef BUG_ORPHAN_WAITS /* for a joiner, who may never come */
		slot[s].mask = member
#endif
#endif
	:: else
	fi
}

inline clear_bit(s, r, has_read)
{
	if
	:: slot[s].state == READY && (slot[s].mask & BIT(r)) ->
		slot[s].mask = slot[s].mask & ~BIT(r);
		if
		:: has_read -> slot[s].seen = 1; finished = finished | BIT(slot[s].seq)
		:: else
		fi;
		free_or_orphan(s)
	:: else
	fi
}

inline sweep_word(s, r)
{
#ifdef BUG_COUNTER
	if
	:: slot[s].state == READY && (due[owner[r]] & BIT(slot[s].seq)) -> /* has it given this one back?  A count cannot say */
		slot[s].mask = slot[s].mask & ~BIT(r);
		remaining[s]--;
		if
		:: remaining[s] == 0 && slot[s].seen -> set_free(s)
		:: remaining[s] == 0 && !slot[s].seen -> slot[s].mask = member; slot[s].again = 1; remaining[s] = 1
		:: else
		fi
	:: else
	fi
#else
	clear_bit(s, r, had_left)
#endif
}

/* The goodbye names slot and sequence: the slot alone may by now have been given back, filled again and offered to us again. */
inline clear_on_goodbye(s, r)
{
	if
#ifdef BUG_GOODBYE_CLEARS_HELD
	:: 0
#elif defined(BUG_GOODBYE_NAMES_SLOTS)
	:: s == kept_slot[owner[r]]
#else
	:: KEPT(s, owner[r])
#endif
	:: else -> clear_bit(s, r, 0)
	fi
}

/* Before the welcome is sent. */
inline offer_orphans(s, r)
{
	s = 0;
	do
	:: s < SLOTS ->
		if
		:: slot[s].state == READY && slot[s].mask == 0 -> slot[s].mask = BIT(r)
		:: else
		fi;
		s++
	:: else -> break
	od;
	s = 0
}
