/* What is preloaded under SIPE in the tests.
 *
 * libxml2 2.9.14+dfsg-1.3~deb12u6 of Debian 12 does not call the SAX1 callbacks of a handler that is marked as SAX2, as SIPE's is:
 * each document looks empty to SIPE, without a word. Marked as SAX1, which it is, it works. Elsewhere this changes nothing.
 *
 * And SIPE derives its endpoint's id from the user, the host's name and the address: two endpoints of one user need two names.
 *
 * Declared here and not included, so that libxml2-dev need not be there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

struct sax_handler {
	void *callbacks[27];
	unsigned int initialized;
	void *sax2[4];
};

typedef int (*parse_memory)(struct sax_handler *, void *, const char *, int);

int xmlSAXUserParseMemory(struct sax_handler *handler, void *data, const char *text, int length)
{
	static parse_memory parse;
	struct sax_handler sax1 = *handler;

	if (!parse)
		parse = (parse_memory)dlsym(dlopen("libxml2.so.2", RTLD_LAZY), "xmlSAXUserParseMemory");
	sax1.initialized = 1;
	return parse(&sax1, data, text, length);
}

int gethostname(char *name, size_t size)
{
	const char *ours = getenv("MUSTER_INTEROP_HOST");

	snprintf(name, size, "%s", ours ? ours : "localhost");
	return 0;
}
