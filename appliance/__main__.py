"""`python -m appliance` is the command `zimbox`."""

from appliance.cli.main import main

if __name__ == "__main__":
    main()
