"""Where trials live: Optuna studies, storage, workers, dashboard and command line. The top floor."""
