#include "main/start.h"
#include "ctl/verb.h"

int
main(int argc, char **argv)
{
    const struct role *role = argc > 0 ? spawn_role_of(argv[0]) : NULL;
    return role != NULL ? start_as(role) : verb_main(argc, argv);
}
