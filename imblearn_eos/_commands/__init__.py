"""The commands of ``imblearn-eos``. To add one, add a module here and an entry to `COMMANDS`.

A module has ``add_options(parser)`` and ``run(options, get_default, command)``. It is imported when
its command is used, because torch alone takes seconds.
"""

# Module and help of each command.
COMMANDS = {
    "compare": (
        "imblearn_eos._commands._compare",
        "compare samplers on your data, recommend one, and write a report",
    ),
    "embed": (
        "imblearn_eos._commands._embed",
        "turn photos or texts into embeddings with a pretrained network, and write them to a file",
    ),
}
