/* Roff and shell scripts from tables; see manual.h. */
#include "models/program/manual.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "models/program/row.h"

/* --- the manual page ---------------------------------------------------------------------------
 * Dashes are written "\-", so that they are copied from the page as they are typed; a dot or quote
 * at the start of a line is a request and gets an empty "\&" before it. */

static void put_roff(const char *text) {
    bool at_start = true;
    for (; *text; text++) {
        if (at_start && (*text == '.' || *text == '\'')) fputs("\\&", stdout);
        at_start = *text == '\n';
        if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '\\')
            fputs("\\e", stdout);
        else
            putchar(*text);
    }
}

static void put_option_roff(const option *o) {
    char least[32], most[32];
    printf(".TP\n.B ");
    put_roff("--");
    put_roff(o->name);
    if (o->metavar) printf(" \\fI%s\\fR", o->metavar);
    printf("\n");
    put_roff(o->help);
    if (o->kind == OPTION_CHOICE) {
        printf(" (");
        put_roff(o->choices);
        printf(")");
    }
    if ((o->kind == OPTION_INTEGER || o->kind == OPTION_REAL) && o->most < 1e9)
        printf(" (%s to %s)", number_text(o->least, 16, least), number_text(o->most, 16, most));
    if (o->fallback) {
        printf(" [");
        put_roff(o->fallback);
        printf("]");
    }
    if (o->required) printf(" (needed)");
    printf("\n");
}

static void put_group_roff(const option_group *g) {
    printf(".PP\n.I ");
    put_roff(g->title);
    printf("\n");
    for (int i = 0; i < g->n; i++) put_option_roff(&g->options[i]);
}

static void put_command_roff(const program *p, const command *c) {
    printf(".SS %s %s\n", p->name, c->name);
    put_roff(c->summary);
    if (c->place) printf("\nTakes one or more names: \\fI%s\\fR.", c->place);
    printf("\n");
    for (const option_group *const *g = c->groups; *g; g++) put_group_roff(*g);
    printf(".PP\nExamples:\n.PP\n.nf\n");
    put_roff(c->examples);
    printf(".fi\n");
}

exit_code manual_print(const program *p) {
    printf(".TH ");
    for (const char *c = p->name; *c; c++) putchar(toupper((unsigned char)*c));
    printf(" 1 \"\" \"weft %s\" \"User Commands\"\n.SH NAME\n%s \\- ", wf_version(), p->name);
    put_roff(p->summary);
    printf("\n.SH SYNOPSIS\n.B %s\n.I COMMAND\n[options]\n.SH DESCRIPTION\n", p->name);
    put_roff("Results are printed to standard output, everything else to standard error. With "
             "--json a result is one JSON object.\n");
    printf(".SH COMMANDS\n");
    for (int i = 0; i < p->n_commands; i++) put_command_roff(p, &p->commands[i]);
    printf(".SS Every command\n");
    for (int i = 0; i < every_command_group.n; i++)
        put_option_roff(&every_command_group.options[i]);
    printf(".SH EXIT STATUS\n");
#define X(name, value, text) printf(".TP\n.B %d\n%s\n", value, text);
    EXIT_CODE_MAP(X)
#undef X
    printf(".SH ENVIRONMENT\n"
           ".TP\n.B OMP_NUM_THREADS\nworker threads where no option says otherwise\n"
           ".TP\n.B WF_ISA\nscalar, avx2, avx512, amx or neon: the set of kernels\n"
           ".TP\n.B WF_JIT\noff, background or sync: compiled groups\n"
           ".TP\n.B XDG_CACHE_HOME\nwhere compiled groups are kept, in weft/; else ~/.cache\n"
           ".TP\n.B NO_COLOR\nno colour in the progress bar\n");
    return EXIT_CODE_OK;
}

/* --- completions -------------------------------------------------------------------------------
 * Both scripts are one case a command and one case an option with choices; what takes a file or a
 * folder completes names. */

/* What completes the value of an option. */
static const char *names_of(const option *o) {
    if (!o->metavar || o->kind != OPTION_TEXT) return "none";
    return !strcmp(o->metavar, "DIR") ? "dirs" : !strcmp(o->metavar, "FILE") ? "files" : "none";
}

static void put_choices(const char *choices) {
    for (; *choices; choices++) putchar(*choices == '|' ? ' ' : *choices);
}

static void put_bash_option(const option *o) {
    if (o->kind == OPTION_FLAG) return;
    printf("        --%s) ", o->name);
    if (o->kind == OPTION_CHOICE) {
        printf("COMPREPLY=($(compgen -W '");
        put_choices(o->choices);
        printf("' -- \"$word\")); return ;;\n");
    } else if (!strcmp(names_of(o), "none")) {
        printf("return ;;\n");
    } else {
        printf("COMPREPLY=($(compgen -%c -- \"$word\")); return ;;\n",
               !strcmp(names_of(o), "dirs") ? 'd' : 'f');
    }
}

static void put_bash_command(const command *c) {
    const option *o;
    printf("    %s)\n        case $before in\n", c->name);
    for (int i = 0; (o = command_option(c, i)); i++) put_bash_option(o);
    for (int i = 0; i < every_command_group.n; i++)
        put_bash_option(&every_command_group.options[i]);
    printf("        esac\n");
    if (c->place)
        printf("        [[ $word == -* ]] ||\n"
               "            { COMPREPLY=($(compgen -%c -- \"$word\")); return; }\n",
               !strcmp(c->place, "DIR") ? 'd' : 'f');
    printf("        COMPREPLY=($(compgen -W '");
    for (int i = 0; (o = command_option(c, i)); i++) printf("--%s ", o->name);
    printf("--config --help' -- \"$word\")) ;;\n");
}

static void print_bash(const program *p) {
    printf("# bash completion for %s, made by `%s --completion bash`\n_%s() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
           "    COMPREPLY=()\n"
           "    if ((COMP_CWORD == 1)); then\n"
           "        COMPREPLY=($(compgen -W '", p->name, p->name, p->name);
    for (int i = 0; i < p->n_commands; i++) printf("%s ", p->commands[i].name);
    printf("--help --version --man --completion' -- \"$word\"))\n        return\n    fi\n"
           "    case ${COMP_WORDS[1]} in\n"
           "    --completion) COMPREPLY=($(compgen -W 'bash zsh' -- \"$word\")) ;;\n");
    for (int i = 0; i < p->n_commands; i++) put_bash_command(&p->commands[i]);
    printf("    esac\n}\ncomplete -o filenames -F _%s %s\n", p->name, p->name);
}

/* Text of a zsh specification inside single quotes: brackets and colons mean something there. */
static void put_zsh(const char *text) {
    for (; *text; text++) {
        if (strchr("[]:\\", *text)) putchar('\\');
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*text);
    }
}

static void put_zsh_option(const option *o) {
    printf(" \\\n            '--%s[", o->name);
    put_zsh(o->help);
    printf("]");
    if (o->kind == OPTION_CHOICE) {
        printf(":%s:(", o->metavar);
        put_choices(o->choices);
        printf(")");
    } else if (o->metavar) {
        printf(":%s:%s", o->metavar,
               !strcmp(names_of(o), "files")  ? "_files"
               : !strcmp(names_of(o), "dirs") ? "_files -/"
                                              : "");
    }
    printf("'");
}

static void put_zsh_command(const command *c) {
    const option *o;
    printf("    %s)\n        _arguments", c->name);
    for (int i = 0; (o = command_option(c, i)); i++) put_zsh_option(o);
    for (int i = 0; i < every_command_group.n; i++)
        put_zsh_option(&every_command_group.options[i]);
    if (c->place)
        printf(" \\\n            '*:%s:_files%s'", c->place,
               !strcmp(c->place, "DIR") ? " -/" : "");
    printf(" ;;\n");
}

static void print_zsh(const program *p) {
    printf("#compdef %s\n# zsh completion for %s, made by `%s --completion zsh`\n_%s() {\n"
           "    if ((CURRENT == 2)); then\n        local -a commands\n        commands=(\n",
           p->name, p->name, p->name, p->name);
    for (int i = 0; i < p->n_commands; i++) {
        printf("            '%s:", p->commands[i].name);
        put_zsh(p->commands[i].summary);
        printf("'\n");
    }
    printf("        )\n        _describe command commands\n        return\n    fi\n"
           "    local command=$words[2]\n    shift words\n    ((CURRENT--))\n"
           "    case $command in\n");
    for (int i = 0; i < p->n_commands; i++) put_zsh_command(&p->commands[i]);
    printf("    esac\n}\n_%s \"$@\"\n", p->name);
}

exit_code manual_print_completion(const program *p, const char *shell) {
    if (!strcmp(shell, "bash"))
        print_bash(p);
    else if (!strcmp(shell, "zsh"))
        print_zsh(p);
    else
        return report_error(EXIT_CODE_USAGE, "--completion %s: not one of bash|zsh", shell);
    return EXIT_CODE_OK;
}
