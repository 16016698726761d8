"""The commands of ``vifi-clip``.

They stand outside ``projects.vifi_clip``, whose import fills MMAction2's
registries and takes seconds: ``--help`` and a wrong option answer at once.
"""
