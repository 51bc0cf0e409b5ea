/* crop_list.c - lines of standard input, or paths and numbers of the command line, in; items out.  One line is in memory at a time. */
#include "loader/shell/crop_list.h"

#include <errno.h>
#include <string.h>

static float share_at(const struct crop_shares *shares, uint64_t position)
{
	return shares->value[shares->count == 1 ? 0 : position];
}

static struct crop_window usual_window(const struct crop_flags *flags, uint64_t position)
{
	return (struct crop_window){
		.x = share_at(&flags->x, position), .y = share_at(&flags->y, position), .scale = share_at(&flags->scale, position)};
}

void crop_list_open(struct crop_list *list, const struct crop_flags *flags)
{
	list->flags = flags;
	list->lines = flags->path_count ? NULL : stdin;
	list->position = 0;
	list->line = 0;
}

/* Into list->text, without what ends it.  0 at the end of the file. */
static int read_line(struct crop_list *list, struct err *err)
{
	bool nul = list->flags->ends_in_nul;
	const char *kind = nul ? "path" : "line";
	size_t length = 0;
	int byte;

	list->line++;
	while ((byte = getc_unlocked(list->lines)) != (nul ? '\0' : '\n') && byte != EOF) {
		if (byte == '\0')
			return err_fail(err, -EINVAL, "standard input, line %llu: a NUL; paths that end in one need --null",
			                (unsigned long long)list->line);
		if (length == sizeof list->text - 1)
			return err_fail(err, -EINVAL, "standard input, %s %llu: longer than the %zu bytes that a %s may have%s",
			                kind, (unsigned long long)list->line, sizeof list->text - 1, kind,
			                nul ? "; does it end in NUL?" : "");
		list->text[length++] = (char)byte;
	}
	if (byte == EOF && ferror(list->lines))
		return err_fail(err, -EIO, "standard input cannot be read: %s", strerror(errno));
	list->text[length] = '\0';
	return length > 0 || byte != EOF;
}

/* PATH, or PATH<TAB>X<TAB>Y<TAB>SCALE. */
static int read_fields(struct crop_list *list, struct crop_item *item, struct err *err)
{
	static const char *const names[] = {"x", "y", "scale"};
	float *const numbers[] = {&item->window.x, &item->window.y, &item->window.scale};
	char *rest = list->text, *field, origin[80];
	unsigned count;

	item->path = strsep(&rest, "\t");
	if (!rest)
		return 0;
	for (count = 0; (field = strsep(&rest, "\t")) && count < 3; count++) {
		int rc;

		if (!*field)
			continue;
		snprintf(origin, sizeof origin, "standard input, line %llu: %s", (unsigned long long)list->line, names[count]);
		rc = crop_flags_read_share(origin, field, numbers[count], err);
		if (rc < 0)
			return rc;
	}
	if (count != 3 || field)
		return err_fail(
			err, -EINVAL,
			"standard input, line %llu: %s fields; PATH alone or PATH<TAB>X<TAB>Y<TAB>SCALE is expected, and --null "
			"for paths with tabs",
			(unsigned long long)list->line,
			field        ? "more than 4"
			: count == 1 ? "2"
				     : "3");
	return 0;
}

int crop_list_next(struct crop_list *list, struct crop_item *item, struct err *err)
{
	const struct crop_flags *flags = list->flags;
	int rc;

	if (!list->lines && list->position == flags->path_count)
		return 0;
	item->window = usual_window(flags, list->position);
	if (!list->lines) {
		item->path = flags->paths[list->position++];
		return 1;
	}
	rc = read_line(list, err);
	if (rc <= 0)
		return rc;
	item->path = list->text;
	if (!flags->ends_in_nul) {
		rc = read_fields(list, item, err);
		if (rc < 0)
			return rc;
	}
	if (!*item->path)
		return err_fail(err, -EINVAL, "standard input, line %llu: it names no file", (unsigned long long)list->line);
	list->position++;
	return 1;
}
