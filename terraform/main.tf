# What is shared: services, names, and the facts that the Python package has written down.

locals {
  services = toset([
    "artifactregistry.googleapis.com",
    "cloudresourcemanager.googleapis.com", # rights on the project
    "cloudscheduler.googleapis.com",
    "compute.googleapis.com",
    "dataflow.googleapis.com",
    "iam.googleapis.com",            # accounts and the role
    "iamcredentials.googleapis.com", # people who act as the launcher
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "storage.googleapis.com",
    "workflowexecutions.googleapis.com",
    "workflows.googleapis.com",
  ])
  labels = merge({ app = "winnow" }, var.labels)

  # Written by `make templates` from the job's flags and the presets; a new job brings its template with it.
  folder  = "${path.module}/../templates"
  jobs    = toset([for path in fileset(local.folder, "*/metadata.json") : dirname(path)])
  presets = jsondecode(file("${local.folder}/presets.json"))
  built   = var.launcher_image != ""

  # Known before anything exists, so that a plan shows whole requests; the accounts are made in accounts.tf.
  worker_email    = "${var.name}-worker@${var.project}.iam.gserviceaccount.com"
  launcher_email  = "${var.name}-launcher@${var.project}.iam.gserviceaccount.com"
  scheduler_email = "${var.name}-scheduler@${var.project}.iam.gserviceaccount.com"
}

resource "google_project_service" "this" {
  for_each           = local.services
  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

resource "google_project_service" "budgets" {
  count              = var.budget == null ? 0 : 1
  project            = var.project
  service            = "billingbudgets.googleapis.com"
  disable_on_destroy = false
}
