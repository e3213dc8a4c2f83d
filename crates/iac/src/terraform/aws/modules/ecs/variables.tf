variable "name" {
  description = "Prefix of all names."
  type        = string
}

variable "short_name" {
  description = "The same in at most 32 characters, for load balancers."
  type        = string
}

variable "partition" {
  description = "Partition of ARNs, such as aws."
  type        = string
}

variable "network" {
  description = "Outputs of the region's network module."
  type = object({
    vpc_id             = string
    public_subnet_ids  = list(string)
    private_subnet_ids = list(string)
  })
}

variable "serving" {
  description = "Whether the region serves clients; from roles.auto.tfvars.json."
  type        = bool
}

variable "full_size" {
  description = "Tasks that bear the whole load."
  type        = number
}

variable "standby_size" {
  description = "Tasks while another region serves."
  type        = number
}

variable "max_size" {
  description = "Most tasks that autoscaling may run."
  type        = number
}

variable "port" {
  description = "TCP port of the tasks."
  type        = number
}

variable "protocol" {
  description = "What instances speak at that port: HTTP, or HTTPS where they end TLS themselves."
  type        = string
}

variable "check_path" {
  description = "Path that answers 200 on a healthy task."
  type        = string
}

variable "certificate_arn" {
  description = "ACM certificate of the host name, in this region: a certificate does not reach beyond its region."
  type        = string
}

variable "kms_key_arn" {
  description = "The region's key."
  type        = string
}

variable "region" {
  description = "AWS name of the region."
  type        = string
}

variable "image" {
  description = "Container image. Replicate its repository to every region, or the registry's region is a single point of failure."
  type        = string
}

variable "architecture" {
  description = "Processor that the image is built for: X86_64 or ARM64."
  type        = string
}

variable "cpu" {
  description = "CPU units of a task; 1024 are one core."
  type        = number
}

variable "memory" {
  description = "Memory of a task, in MiB."
  type        = number
}

variable "environment" {
  description = "Environment variables of the container."
  type        = map(string)
  default     = {}
}

variable "public" {
  description = "Whether a route leads here. Everything else is reached from the app's networks only."
  type        = bool
}

variable "clients" {
  description = "Address ranges of the app's networks, by region."
  type        = map(string)
}

variable "statements" {
  description = "IAM statements: the data that it needs, in this region."
  type        = any
  default     = []
}
