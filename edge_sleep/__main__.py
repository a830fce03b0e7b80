from edge_sleep.cli.main import main

main()
