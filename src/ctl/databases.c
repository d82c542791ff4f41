#include "ctl/databases.h"

struct directory_settings
databases_settings(const struct config *c)
{
    return (struct directory_settings){
        .passwd_file = c->userdb_passwd_file,
        .sql = {c->userdb_sql_connection, c->userdb_sql_password, c->userdb_sql_query,
                c->userdb_sql_iterate_query},
        .ldap = {.uri = c->userdb_ldap_uri,
                 .ca = c->userdb_ldap_ca,
                 .base = c->userdb_ldap_base,
                 .bind_dn = c->userdb_ldap_bind_dn,
                 .bind_password = c->userdb_ldap_bind_password,
                 .filter = c->userdb_ldap_filter,
                 .iterate = c->userdb_ldap_iterate_filter,
                 .iterate_attribute = c->userdb_ldap_iterate_attribute,
                 .attributes = c->userdb_ldap_attributes.items,
                 .attribute_count = c->userdb_ldap_attributes.n,
                 .starttls = c->userdb_ldap_starttls,
                 .bind = c->userdb_ldap_bind},
        .pam = {.service = c->userdb_pam_service},
    };
}

bool
databases_have(const struct config *c, enum user_source source)
{
    return config_list_has(&c->user_databases, span_str(user_source_name(source)));
}

static enum result
check_one(const struct config *c, size_t at, struct fault *f)
{
    const struct directory_settings settings = databases_settings(c);
    const char *name = c->user_databases.items[at];
    enum user_source source;
    if (user_source_from(span_str(name), &source) != R_OK)
        return fault_set(f, FAULT_BAD,
                         "user_databases: '%.60s' is none; own, passwd-file, sql, ldap and "
                         "pam are",
                         name);
    for (size_t i = 0; i < at; i++)
        if (strcmp(c->user_databases.items[i], name) == 0)
            return fault_set(f, FAULT_BAD, "user_databases: '%s' is there twice", name);
    return directory_check(source, &settings, f);
}

enum result
databases_check(const struct config *c, struct fault *f)
{
    if (c->user_databases.n == 0)
        return fault_set(f, FAULT_BAD, "user_databases: nobody could log in");
    for (size_t i = 0; i < c->user_databases.n; i++)
        if (check_one(c, i, f) != R_OK)
            return R_FAIL;
    return R_OK;
}
