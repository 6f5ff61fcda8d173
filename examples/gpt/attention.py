def command(arguments):
    raise NotImplementedError
